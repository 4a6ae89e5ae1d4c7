"""Syncing from folders and over real HTTP."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaffold import paths
from scaffold.discovery.fetch import ListFetcher
from scaffold.discovery.index import open_index
from scaffold.discovery.search import Filters, search
from scaffold.discovery.store import ListStore
from scaffold.discovery.sync import SyncResult, sync_local, sync_remote
from scaffold.errors import NotFoundError, ScaffoldError
from scaffold.github.raw import RawFiles
from scaffold.settings import Settings
from tests.github_server import GitHubServer

README = "# Awesome {name}\n\n## Tools\n" + "- [Hammer](https://github.com/a/hammer) - Drives nails.\n"


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as running:
        for name in ("one", "two", "three"):
            running.add_file(f"lists/{name}", "README.md", README.format(name=name))
        yield running


@pytest.fixture
def store() -> Iterator[ListStore]:
    with ListStore.open(paths.lists_path()) as opened:
        yield opened


def _fetcher(server: GitHubServer, seconds: float = 5) -> ListFetcher:
    return ListFetcher(RawFiles(Settings(raw_url=f"{server.url}/raw", token="secret")), seconds=seconds)


def _tree(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def _by_repo(results: list[SyncResult]) -> dict[str, SyncResult]:
    return {result.repo: result for result in results}


def test_a_folder_of_lists_with_spaces_and_hangul_in_its_path(store: ListStore, tmp_path: Path) -> None:
    folder = _tree(
        tmp_path / "목록 folder",
        {
            "a/first/readme.md": README.format(name="first") + "\n[More](more/extra.md)\n",
            "a/first/more/extra.md": "# Extra\n- [Saw](https://github.com/b/saw)\n",
            "a/second/README.rst": "Second\n======\n\n* `Saw <https://github.com/b/saw>`_\n",
            "a/second/README_CN.rst": "第二\n",
            "b/empty/README.md": "",
            "b/nothing/notes.txt": "no readme",
            "b/latin/README.md": "# L\n## P\n- [Café](https://github.com/c/cafe)".encode("cp1252"),
        },
    )
    results = _by_repo(sync_local(store, folder))
    assert {repo: (result.status, result.entries) for repo, result in results.items()} == {
        "a/first": ("synced", 2),
        "a/second": ("synced", 1),
        "b/empty": ("synced", 0),
        "b/latin": ("synced", 1),
        "b/nothing": ("failed", 0),
    }
    assert {result.status for result in sync_local(store, folder) if result.repo != "b/nothing"} == {"unchanged"}
    hit = search(open_index(), "saw", Filters(kind="project")).hits[0]
    assert (hit.repo, hit.cited_by, hit.sources) == ("b/saw", 2, ("index",))


def test_a_link_that_leads_out_of_a_list_is_not_followed(store: ListStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("- [Stolen](https://github.com/s/stolen)")
    folder = _tree(tmp_path / "lists", {"a/first/README.md": README.format(name="x") + "[more](extra.md)"})
    (folder / "a/first/extra.md").symlink_to(secret)
    sync_local(store, folder)
    assert [entry.repo for entry in store.entries("a/first")] == ["a/hammer"]


def test_no_folder_and_no_list_are_said(store: ListStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        sync_local(store, tmp_path / "none")
    with pytest.raises(ScaffoldError, match="no list"):
        sync_local(store, tmp_path)


def test_the_second_time_brings_nothing_but_304(server: GitHubServer, store: ListStore) -> None:
    names = ["lists/one", "lists/two", "lists/three"]
    assert {result.status for result in sync_remote(store, names, _fetcher(server))} == {"synced"}
    before = len(server.requests)
    assert {result.status for result in sync_remote(store, names, _fetcher(server))} == {"unchanged"}
    assert len(server.requests) - before == 3
    assert all("if-none-match" in request.headers for request in server.requests[before:])
    assert not any(request.token for request in server.requests)


def test_a_changed_list_is_updated_and_its_further_texts_followed(server: GitHubServer, store: ListStore) -> None:
    sync_remote(store, ["lists/one"], _fetcher(server))
    server.add_file("lists/one", "README.md", "# One\n- [Parts](parts/a.md)\n- [Gone](parts/gone.md)\n")
    server.add_file("lists/one", "parts/a.md", "# Part A\n- [Saw](https://github.com/b/saw)\n")
    (result,) = sync_remote(store, ["lists/one"], _fetcher(server))
    assert (result.status, result.entries) == ("updated", 1)
    before = len(server.requests)
    (result,) = sync_remote(store, ["lists/one"], _fetcher(server))
    assert result.status == "unchanged"
    assert len(server.requests) - before == 2  # what is not there is not asked for again


def test_one_failing_list_never_stops_the_rest(server: GitHubServer, store: ListStore) -> None:
    server.fail(path="lists/two", status=500)
    server.fail(path="lists/three", kind="trickle")
    names = ["lists/two", "lists/three", "no/list", "lists/one", "bad name/x"]
    results = _by_repo(sync_remote(store, names, _fetcher(server, seconds=1)))
    assert results["lists/one"].status == "synced"
    assert {repo for repo, result in results.items() if result.status == "failed"} == set(names) - {"lists/one"}
    assert "HTTP 500" in (results["lists/two"].error or "")
    assert "in time" in (results["lists/three"].error or "")
    assert "not found" in (results["no/list"].error or "")


def test_after_a_rate_limit_nothing_more_is_asked(server: GitHubServer, store: ListStore) -> None:
    server.fail(status=429, headers={"Retry-After": "60"})
    results = sync_remote(store, [f"lists/n{number}" for number in range(20)], _fetcher(server), jobs=2)
    assert {result.status for result in results} == {"failed"}
    assert len(server.requests) <= 2


def test_a_rename_is_learned_and_a_notice_followed(server: GitHubServer, store: ListStore) -> None:
    server.renamed["old/one"] = "lists/one"
    server.add_file("left/here", "README.md", "# Left\nThis list has moved to https://github.com/lists/two\n")
    results = _by_repo(sync_remote(store, ["old/one", "left/here"], _fetcher(server)))
    assert results["old/one"].error == "renamed to lists/one"
    assert results["left/here"].error == "moved to lists/two"
    assert results["lists/two"].status == "synced"
    index = open_index()
    assert index.execute("SELECT repo FROM documents WHERE repo = 'lists/one'").fetchone()
    assert not index.execute("SELECT repo FROM documents WHERE repo = 'old/one'").fetchone()


def test_an_interrupt_keeps_what_is_there(server: GitHubServer, store: ListStore) -> None:
    server.fail(path="lists/three", kind="hang")

    def interrupt(result: SyncResult, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync_remote(store, ["lists/one", "lists/two", "lists/three"], _fetcher(server), progress=interrupt)
    assert set(store.list_names()) == {"lists/one", "lists/two"}


def test_a_damaged_store_is_laid_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "lists.sqlite3"
    path.write_bytes(b"no database" * 500)
    with ListStore.open(path) as store:
        assert "damaged" in (store.notice or "")
        assert store.list_names() == []
    assert path.with_name("lists.sqlite3.damaged").exists()


def test_a_damaged_store_still_gives_an_index(store: ListStore, tmp_path: Path) -> None:
    store.close()
    paths.lists_path().write_bytes(b"no database" * 500)
    assert search(open_index(), "nlp").hits


def test_several_write_at_once(tmp_path: Path) -> None:
    folder = _tree(tmp_path, {f"a/l{number}/README.md": README.format(name=number) for number in range(12)})
    failures: list[Exception] = []

    def sync() -> None:
        try:
            with ListStore.open(paths.lists_path()) as own:
                sync_local(own, folder)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=sync) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with sqlite3.connect(paths.lists_path()) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] == 12
