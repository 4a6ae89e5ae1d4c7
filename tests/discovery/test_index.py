from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from scaffold import paths
from scaffold.discovery.catalog import CatalogError
from scaffold.discovery.index import open_index


def _repos(connection: sqlite3.Connection) -> set[str]:
    return {row["repo"] for row in connection.execute("SELECT repo FROM documents")}


def test_is_built_on_first_use_and_then_reused(catalog: Path) -> None:
    assert "kept/gymnasium" in _repos(open_index())
    built = paths.index_path().stat().st_mtime_ns
    open_index()
    assert paths.index_path().stat().st_mtime_ns == built


def test_nobody_else_may_read_it(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAFFOLD_HOME", str(tmp_path / "new"))
    open_index().close()
    assert stat.S_IMODE(paths.index_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.index_path().parent.stat().st_mode) == 0o700


def test_what_a_killed_run_left_is_removed_and_a_live_runs_is_not(catalog: Path) -> None:
    folder = paths.index_path().parent
    folder.mkdir(parents=True)
    left, live = (folder / f"index.sqlite3.{number}-1.tmp" for number in (1, 2))
    left.touch()
    live.touch()
    os.utime(left, (1, 1))
    open_index().close()
    assert sorted(folder.iterdir()) == [paths.index_path(), live]


def test_is_rebuilt_when_the_catalog_changes(catalog: Path) -> None:
    open_index().close()
    catalog.write_text(catalog.read_text(encoding="utf-8").replace("kept/gymnasium", "new/gymnasium"), encoding="utf-8")
    assert "new/gymnasium" in _repos(open_index())


@pytest.mark.parametrize("damage", ["empty", "truncated", "zeroed", "garbage"])
def test_damage_is_noticed_and_repaired(catalog: Path, damage: str) -> None:
    expected = _repos(open_index())
    path = paths.index_path()
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {"empty": b"", "truncated": content[:middle], "zeroed": bytes(len(content)), "garbage": b"x" * 9000}[damage]
    )
    assert _repos(open_index()) == expected
    assert path.stat().st_size == len(content)


def test_a_folder_that_cannot_be_written_still_gives_an_index(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = catalog.parent / "blocker"
    blocker.write_text("a file where the folder should be")
    monkeypatch.setenv("SCAFFOLD_HOME", str(blocker))
    assert "kept/gymnasium" in _repos(open_index())


def test_many_builders_at_once_all_end_with_a_good_index(catalog: Path) -> None:
    found: list[set[str]] = []

    def build() -> None:
        with_own_connection = open_index()
        found.append(_repos(with_own_connection))
        with_own_connection.close()

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(repos == found[0] for repos in found)
    assert [path.name for path in paths.index_path().parent.iterdir()] == ["index.sqlite3"]


def test_a_broken_catalog_is_an_error_and_leaves_nothing_behind(catalog: Path) -> None:
    catalog.write_text("tasks: [", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"catalog\.yaml:2: "):
        open_index()
    assert not list(paths.index_path().parent.glob("*"))
