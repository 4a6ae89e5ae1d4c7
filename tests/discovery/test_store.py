"""The list store: what a bad disk, an older scaffold and a renamed list leave of it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaffold.discovery.awesome import PARSER_VERSION, parse_readme
from scaffold.discovery.fetch import ListFetcher
from scaffold.discovery.store import ListStore, StoredFile
from scaffold.discovery.sync import SyncResult, parse_anew, sync_local, sync_remote
from scaffold.errors import ScaffoldError
from scaffold.github.raw import RawFiles
from scaffold.settings import Settings
from tests.github_server import GitHubServer

README = b"# Awesome\n\n## Tools\n\n- [Hammer](https://github.com/a/hammer) - Drives nails.\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "목록 folder" / "lists.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[ListStore]:
    with ListStore.open(path) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        yield running


def _put(store: ListStore, repo: str, content: bytes = README, parser: int = PARSER_VERSION) -> None:
    files = [StoredFile("README.md", content, '"tag"')]
    parsed = parse_readme(content, repo=repo)
    store.put(repo, parsed, files, origin="github", fetched_at="2026-01-01T00:00:00+00:00", parser=parser)


def _sync(store: ListStore, server: GitHubServer, *repos: str) -> list[SyncResult]:
    fetcher = ListFetcher(RawFiles(Settings(raw_url=f"{server.url}/raw")), seconds=5)
    return sync_remote(store, repos, fetcher)


def _statuses(results: list[SyncResult]) -> list[str]:
    return [result.status for result in results]


def test_nobody_else_may_read_it(store: ListStore, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_reading_makes_no_file(path: Path) -> None:
    assert ListStore.read(path) is None
    assert not path.parent.exists()


def test_a_full_disk_is_explained_and_keeps_the_old_list(store: ListStore) -> None:
    _put(store, "a/list")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ScaffoldError, match="full"):
        _put(store, "a/list", README + os.urandom(100_000).hex().encode())
    assert [entry.repo for entry in store.entries("a/list")] == ["a/hammer"]


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ScaffoldError, match="cannot be written") as caught:
        ListStore.open(tmp_path / "file" / "lists.sqlite3")
    assert "SCAFFOLD_HOME" in (caught.value.hint or "")


def test_damage_in_the_middle_is_noticed_at_once(store: ListStore, path: Path) -> None:
    for number in range(40):
        _put(store, f"a/list{number}")
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:-4096] = os.urandom(len(content) - 8192 - 4096)
    path.write_bytes(content)
    with ListStore.open(path) as again:
        assert "damaged" in (again.notice or "")
        _put(again, "a/list")
        assert again.list_names() == ["a/list"]


def test_a_new_store_never_counts_as_the_one_before(store: ListStore, path: Path) -> None:
    """The index remembers the generation it was built from."""
    _put(store, "a/list")
    before = store.generation()
    store.close()
    path.write_bytes(b"no database" * 500)
    with ListStore.open(path) as again:
        _put(again, "a/other")
        assert again.generation() > before


def test_only_new_content_counts_as_a_change(store: ListStore, server: GitHubServer) -> None:
    server.add_file("a/list", "README.md", README)
    _sync(store, server, "a/list")
    before = store.generation()
    _sync(store, server, "a/list")
    assert store.generation() == before
    server.add_file("a/list", "README.md", README + b"- [Saw](https://github.com/a/saw) - Cuts.\n")
    _sync(store, server, "a/list")
    assert store.generation() == before + 1


def test_a_damaged_text_is_fetched_anew(store: ListStore, server: GitHubServer) -> None:
    server.add_file("a/list", "README.md", README)
    _sync(store, server, "a/list")
    store._db.execute("UPDATE files SET content = x'00'")
    assert _statuses(_sync(store, server, "a/list")) == ["updated"]
    assert store.files("a/list")[0].content == README


def test_another_schema_keeps_the_texts(store: ListStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store, "a/list")
    store.close()
    with sqlite3.connect(path) as raw:
        raw.executescript("UPDATE meta SET value = 0 WHERE key = 'schema'; ALTER TABLE entries DROP COLUMN flags;")
    raw.close()
    with ListStore.open(path) as again:
        assert again.notice is None
        assert parse_anew(again) == 1
        assert [entry.title for entry in again.entries("a/list")] == ["Hammer"]
        assert again.provenance("a/list") == ("github", "2026-01-01T00:00:00+00:00")
    with ListStore.open(path) as third:
        assert third.outdated(PARSER_VERSION) == []


def test_another_schema_whose_texts_cannot_be_read_is_damage(store: ListStore, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as raw:
        raw.executescript("UPDATE meta SET value = 99 WHERE key = 'schema'; DROP TABLE files;")
    raw.close()
    with ListStore.open(path) as again:
        assert "damaged" in (again.notice or "")
        _put(again, "a/list")


def test_a_newer_parser_also_follows_what_the_older_did_not_see(store: ListStore, server: GitHubServer) -> None:
    server.add_file("a/list", "README.md", b"# Awesome\n\n- [Part](parts/one.md)\n")
    server.add_file("a/list", "parts/one.md", README)
    _sync(store, server, "a/list")
    store._db.executescript("DELETE FROM files WHERE path <> 'README.md'; DELETE FROM entries;")
    store._db.execute("UPDATE lists SET parser = 0")
    (result,) = _sync(store, server, "a/list")
    assert (result.status, result.entries) == ("updated", 1)
    assert store.file_names("a/list") == ["README.md", "parts/one.md"]


def test_a_renamed_list_is_kept_once(store: ListStore, server: GitHubServer) -> None:
    server.add_file("a/old", "README.md", README)
    _sync(store, server, "a/old")
    server.renamed["a/old"] = "b/new"
    server.add_file("b/new", "README.md", README)
    (result,) = _sync(store, server, "a/old")
    assert (result.repo, result.error) == ("a/old", "renamed to b/new")
    assert store.list_names() == ["b/new"]
    assert [mention.source for mention in store.mentions(["a/hammer"])] == ["b/new"]
    server.requests.clear()
    assert _statuses(_sync(store, server, "a/old", "b/new")) == ["unchanged"]
    assert server.paths() == ["GET /raw/b/new/HEAD/README.md"]


def test_a_moved_list_is_followed_once(store: ListStore, server: GitHubServer) -> None:
    for number in range(3):
        notice = f"# Awesome\n\nThis list has moved to https://github.com/a/list{number + 1}\n"
        server.add_file(f"a/list{number}", "README.md", notice)
    results = _sync(store, server, "a/list0")
    assert [(result.repo, result.error) for result in results] == [
        ("a/list0", "moved to a/list1"),
        ("a/list1", "moved to a/list2"),
    ]


def test_a_list_from_a_folder_is_soon_asked_for_conditionally(
    store: ListStore, server: GitHubServer, tmp_path: Path
) -> None:
    place = tmp_path / "lists" / "a" / "list"
    place.mkdir(parents=True)
    (place / "README.md").write_bytes(README)
    server.add_file("a/list", "README.md", README)
    assert _statuses(sync_local(store, tmp_path / "lists")) == ["synced"]
    assert _statuses(_sync(store, server, "a/list")) == ["unchanged"]
    assert _statuses(_sync(store, server, "a/list")) == ["unchanged"]
    assert "if-none-match" in server.requests[-1].headers
    assert store.provenance("a/list")[0] == "github"


def test_without_a_network_the_rest_is_not_waited_for(store: ListStore) -> None:
    with GitHubServer() as gone:
        raw = RawFiles(Settings(raw_url=f"{gone.url}/raw"))
    results = sync_remote(store, [f"a/list{number}" for number in range(60)], ListFetcher(raw), jobs=2)
    assert set(_statuses(results)) == {"failed"}
    assert raw.requests_made < 60


def test_nothing_outside_the_folder_is_read(store: ListStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "README.md").write_bytes(README)
    folder = tmp_path / "lists"
    for name in ("a/fine", "a/readme", "a/pipe", "a/loop"):
        (folder / name).mkdir(parents=True)
    (folder / "a/fine/README.md").write_bytes(README)
    (folder / "a/folder").symlink_to(outside)
    (folder / "a/readme/README.md").symlink_to(outside / "README.md")
    (folder / "a/loop/README.md").symlink_to(folder / "a/loop/README.md")
    os.mkfifo(folder / "a/pipe/README.md")
    results = {result.repo: result.status for result in sync_local(store, folder)}
    assert results == {
        "a/fine": "synced",
        "a/folder": "failed",
        "a/readme": "failed",
        "a/pipe": "failed",
        "a/loop": "failed",
    }


@pytest.mark.skipif(os.path.normcase("A") == "a", reason="names differ in more than case here")
def test_one_list_in_two_spellings_is_said(store: ListStore, tmp_path: Path) -> None:
    for name in ("a/list", "A/List"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "README.md").write_bytes(README + name.encode())
    for status in ("synced", "unchanged"):
        first, second = sync_local(store, tmp_path)
        assert (first.status, second.status) == (status, "failed")
        assert "same list" in (second.error or "")


def test_a_text_that_comes_later_is_noticed(store: ListStore, tmp_path: Path) -> None:
    place = tmp_path / "a" / "list"
    place.mkdir(parents=True)
    (place / "README.md").write_bytes(README + b"\n[More](more.md)\n")
    sync_local(store, tmp_path)
    (place / "more.md").write_text("# More\n\n- [Saw](https://github.com/a/saw) - Cuts.\n")
    (result,) = sync_local(store, tmp_path)
    assert (result.status, result.entries) == ("updated", 2)
