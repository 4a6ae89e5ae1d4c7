"""`--submodules`: from allowed hosts only, whatever `.gitmodules` says, and nothing that it says to run is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scaffold.settings import Settings
from scaffold.vcs.submodules import LeftOutError, Submodule, address_of
from tests.git_server import Fault, GitServer, git, serve
from tests.references.conftest import leftovers

Call = Callable[..., Any]


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A host that nobody allowed, with a repository to bring. It logs who asks."""
    with serve(tmp_path_factory.mktemp("other")) as host:
        host.add("b/sub", {"theirs.txt": "theirs"})
        yield host


def _add(
    server: GitServer, name: str, modules: str, links: Mapping[str, str], files: Mapping[str, str] | None = None
) -> str:
    """A repository on the server with a `.gitmodules` and with submodules at paths. Returns its commit."""
    work = server.root / "work" / name
    if not work.exists():
        server.add(name)
    for path, text in {".gitmodules": modules, **(files or {})}.items():
        (work / path).write_text(text)
        git(work, "add", path)
    for path, commit in links.items():
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    git(work, "commit", "--quiet", "--message=With submodules")
    server.publish(name)
    return git(work, "rev-parse", "HEAD")


def _head(host: GitServer, name: str) -> str:
    return git(host.root / "work" / name, "rev-parse", "HEAD")


def _entry(name: str, path: str, url: str, more: str = "") -> str:
    return f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n{more}'


def test_allowed_ones_are_brought_also_nested_ones_and_move_along(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    for name in ("a/leaf", "c/plain"):
        server.add(name, {f"{name[0]}.txt": name})
    leaf, plain = _head(server, "a/leaf"), _head(server, "c/plain")
    server.commit("c/plain", {"later.txt": "not pinned"})
    server.publish("c/plain")
    tree = _add(server, "a/tree", _entry("leaf", "parts/leaf", "../leaf"), {"parts/leaf": leaf})
    modules = _entry("tree", "lib/tree", "./../tree.git") + _entry("plain", "plain", f"{server.url}/c/plain")
    _add(server, "a/one", modules, {"lib/tree": tree, "plain": plain})
    answer = scaffold("clone", "a/one", "--submodules", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["references"][0]["note"] is None
    folder = in_tmp / "references/a/one"
    assert (folder / "lib/tree/parts/leaf/a.txt").read_text() == "a/leaf"
    assert git(folder / "lib/tree/parts/leaf", "rev-parse", "HEAD") == leaf
    assert git(folder / "plain", "rev-parse", "HEAD") == plain
    assert git(folder / "plain", "rev-list", "--count", "HEAD") == "1"
    for place in (folder, folder / "lib/tree"):
        assert git(place, "status", "--porcelain") == ""
        assert all(line[0] != "-" for line in git(place, "submodule", "status").splitlines())
    moved = _head(server, "c/plain")
    _add(server, "a/one", modules, {"plain": moved})
    assert scaffold("clone", "a/one", "--submodules", "--json").json["references"][0]["status"] == "updated"
    assert git(folder / "plain", "rev-parse", "HEAD") == moved
    assert scaffold("clone", "a/one", "--submodules", "--json").json["references"][0]["status"] == "unchanged"
    assert leftovers(in_tmp) == []


def test_a_reference_that_is_there_gets_them_and_without_the_option_nobody_does(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    server.add("a/leaf")
    _add(server, "a/one", _entry("leaf", "leaf", "../leaf"), {"leaf": _head(server, "a/leaf")})
    assert scaffold("clone", "a/one").code == 0
    assert not any((in_tmp / "references/a/one/leaf").iterdir())
    assert server.tries("a/leaf") == 0
    assert scaffold("clone", "a/one", "--submodules").code == 0
    assert (in_tmp / "references/a/one/leaf/README.md").exists()


def test_local_work_in_a_submodule_is_left_alone(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/leaf")
    modules = _entry("leaf", "leaf", "../leaf")
    _add(server, "a/one", modules, {"leaf": _head(server, "a/leaf")})
    scaffold("clone", "a/one", "--submodules")
    mine = in_tmp / "references/a/one/leaf/README.md"
    mine.write_text("mine")
    moved = server.commit("a/leaf", {"README.md": "theirs"})
    server.publish("a/leaf")
    _add(server, "a/one", modules, {"leaf": moved})
    answer = scaffold("clone", "a/one", "--submodules", "--json")
    assert answer.code == 0
    assert "submodule leaf" in answer.json["references"][0]["note"]
    assert mine.read_text() == "mine"


def test_a_host_that_is_not_allowed_is_left_out_and_named(
    server: GitServer, other: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    server.add("a/leaf")
    modules = _entry("evil", "evil", f"{other.url}/b/sub.git") + _entry("leaf", "leaf", "../leaf")
    _add(server, "a/one", modules, {"evil": _head(other, "b/sub"), "leaf": _head(server, "a/leaf")})
    answer = scaffold("clone", "a/one", "--submodules", "--json")
    assert answer.code == 0
    note = answer.json["references"][0]["note"]
    assert "submodule evil was left out" in note
    assert other.url.removeprefix("http://") in note
    assert note in answer.err
    assert (in_tmp / "references/a/one/leaf/README.md").exists()
    assert not any((in_tmp / "references/a/one/evil").iterdir())
    assert other.requests == []


@pytest.mark.parametrize(
    "bait",
    [
        _entry("bait", ".", "../leaf"),
        _entry("bait", "*", "../leaf"),
        _entry("bait", "s?b", "../leaf"),
        _entry("bait", ":/", "../leaf"),
        _entry("bait", "sub", "../leaf"),
        _entry("bait", "deep/..", "../leaf"),
        _entry("bait", "sub/", "../leaf"),
        "[submodule]\n\tactive = .\n\trecurse = true\n\tfetchJobs = 4\n",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_second_entry_smuggles_one_in(
    server: GitServer, other: GitServer, scaffold: Call, in_tmp: Path, bait: str, first: bool
) -> None:
    """An allowed address that is given a path which also means the other submodule."""
    server.add("a/leaf")
    evil = _entry("evil", "sub", f"{other.url}/b/sub.git")
    _add(server, "a/one", bait + evil if first else evil + bait, {"sub": _head(other, "b/sub")})
    for _ in range(2):
        answer = scaffold("clone", "a/one", "--submodules", "--json")
        assert "submodule sub" in (answer.json["references"][0]["note"] or answer.err)
        assert other.requests == []


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (_entry("x", "x", "../leaf", "\tupdate = !touch SENTINEL\n"), (0, 1)),
        (_entry("../../x", "x", "../leaf"), (0, 1)),
        (_entry("x", "../x", "../leaf"), (0, 1)),
        (_entry("x", "-x", "../leaf"), (0, 1)),
        (_entry("x", ".git/hooks", "../leaf"), (0, 1)),
        (_entry("x", "x", "--upload-pack=touch SENTINEL"), (0, 1)),
        (_entry("x", "x", "ext::touch SENTINEL"), (0,)),
        (_entry("x", "x", "file:///etc"), (0,)),
        (_entry("x", "x", "../../../../etc"), (0,)),
        (_entry("x", "x", '"../leaf\\r"'), (0, 1)),
        (_entry("x", '"x\\r"', "../leaf"), (0, 1)),
    ],
)
def test_unsafe_names_paths_addresses_and_commands(
    server: GitServer, scaffold: Call, in_tmp: Path, entry: str, code: tuple[int, ...]
) -> None:
    """git refuses some of these as it fetches; what it lets pass is left out here."""
    server.add("a/leaf")
    sentinel = in_tmp / "sentinel"
    leaf = _head(server, "a/leaf")
    _add(server, "a/one", entry.replace("SENTINEL", str(sentinel)), {"x": leaf})
    before = set(in_tmp.parent.iterdir())
    answer = scaffold("clone", "a/one", "--submodules", "--json")
    assert answer.code in code
    assert not sentinel.exists()
    assert set(in_tmp.parent.iterdir()) == before
    folder = in_tmp / "references/a/one"
    assert not (folder / ".git/hooks").exists()
    if answer.code == 0:
        assert sorted(path.name for path in folder.iterdir()) == [".git", ".gitmodules", "README.md", "x"]


def test_a_command_in_the_configuration_of_a_reference_is_not_run(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    """`submodule.NAME.update` counts for git when it stands there, not only in `.gitmodules`."""
    server.add("a/leaf")
    _add(server, "a/one", _entry("leaf", "leaf", "../leaf"), {"leaf": _head(server, "a/leaf")})
    scaffold("clone", "a/one")
    sentinel = in_tmp / "sentinel"
    git(in_tmp / "references/a/one", "config", "submodule.leaf.update", f"!touch '{sentinel}'")
    scaffold("clone", "a/one", "--submodules")
    assert not sentinel.exists()


def test_a_link_in_the_way_leads_nowhere(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    """The user, or something else, has put a link where the submodule belongs."""
    server.add("a/leaf")
    _add(server, "a/one", _entry("leaf", "lib/leaf", "../leaf"), {"lib/leaf": _head(server, "a/leaf")})
    scaffold("clone", "a/one")
    outside = in_tmp / "outside"
    (outside / "leaf").mkdir(parents=True)
    folder = in_tmp / "references/a/one"
    (folder / "lib/leaf").rmdir()
    (folder / "lib").rmdir()
    (folder / "lib").symlink_to(outside)
    answer = scaffold("clone", "a/one", "--submodules", "--json")
    assert not any((outside / "leaf").iterdir())
    assert "submodule lib/leaf" in (answer.json["references"][0]["note"] or answer.err)


def test_a_local_gitmodules_is_not_believed(server: GitServer, other: GitServer, scaffold: Call, in_tmp: Path) -> None:
    """What counts is what was committed: the file beside it may be anything."""
    server.add("a/leaf")
    _add(server, "a/one", _entry("leaf", "leaf", "../leaf"), {"leaf": _head(server, "a/leaf")})
    scaffold("clone", "a/one")
    (in_tmp / "references/a/one/.gitmodules").write_text(_entry("evil", "leaf", f"{other.url}/b/sub.git"))
    scaffold("clone", "a/one", "--submodules")
    assert other.requests == []


@pytest.mark.parametrize(
    ("url", "written", "address"),
    [
        ("https://github.com/a/one.git", "../leaf", "https://github.com/a/leaf.git"),
        ("https://github.com/a/one.git", "../../b/leaf.git", "https://github.com/b/leaf.git"),
        ("git@github.com:a/one.git", "../leaf", "git@github.com:a/leaf.git"),
        ("git@github.com:a/one.git", "../../b/leaf", "git@github.com:b/leaf.git"),
        ("https://github.com/a/one.git", "git@github.com:b/leaf", "git@github.com:b/leaf.git"),
        ("https://github.com/a/one.git", "https://code.example/b/leaf", "https://code.example/b/leaf.git"),
        ("git@github.com:a/one.git", "../../../leaf", None),
        ("https://github.com/a/one.git", "../../../leaf", None),
        ("https://github.com/a/one.git", "https://evil.example/b/leaf", None),
        ("https://github.com/a/one.git", "../../evil@host/../b/leaf", "https://github.com/b/leaf.git"),
    ],
)
def test_addresses(url: str, written: str, address: str | None) -> None:
    submodule = Submodule("x", "x", written, "0" * 40)
    settings = Settings(allowed_hosts=("code.example",))
    if address is None:
        with pytest.raises(LeftOutError):
            address_of(url, submodule, settings)
    else:
        assert address_of(url, submodule, settings) == address


def test_more_levels_than_anyone_means_come_to_an_end(server: GitServer, scaffold: Call, in_tmp: Path) -> None:
    server.add("a/level0")
    for level in range(1, 7):
        below = _head(server, f"a/level{level - 1}")
        _add(server, f"a/level{level}", _entry("below", "below", f"../level{level - 1}"), {"below": below})
    answer = scaffold("clone", "a/level6", "--submodules", "--json")
    assert answer.code == 0
    assert "too deep" in answer.json["references"][0]["note"]
    assert not server.tries("a/level0")


def test_one_that_breaks_off_is_tried_again_and_leaves_nothing_half(
    server: GitServer, scaffold: Call, in_tmp: Path
) -> None:
    server.add("a/leaf", {"big.txt": os.urandom(30_000).hex()})
    _add(server, "a/one", _entry("leaf", "leaf", "../leaf"), {"leaf": _head(server, "a/leaf")})
    assert scaffold("clone", "a/one").code == 0
    server.faults["a/leaf"] = Fault(status=404)
    assert scaffold("clone", "a/one", "--submodules").code == 3
    assert not any((in_tmp / "references/a/one/leaf").iterdir())
    server.faults["a/leaf"] = Fault(cut_after=2000, times=1)
    answer = scaffold("clone", "a/one", "--submodules")
    assert answer.code == 0
    assert answer.err.count("trying again") == 1
    assert git(in_tmp / "references/a/one/leaf", "status", "--porcelain") == ""
    assert leftovers(in_tmp) == []
