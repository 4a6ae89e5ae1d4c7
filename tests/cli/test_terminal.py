"""Commands at a terminal, as a person meets them: questions, progress, and Ctrl-C in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Answer
from tests.git_server import Fault, GitServer, serve
from tests.github_server import GitHubServer
from tests.terminal import CTRL_C, CTRL_D, CTRL_Q, DOWN, ENTER, ESCAPE, SPACE, Screen, Terminal

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
Scaffold = Callable[..., Answer]
EVIL = "\x1b]0;title\x07 \x1b[31;7mred \x1b[2J\x1b[6n \x9b5n \u202elatot"
README = f"# Awesome Knots\n\n## Bends\n- [Reef](https://github.com/k/reef) - A knot for sails {EVIL}.\n"
CATALOG = "tasks: {}\nlists: []\nprojects: []\n"  # an index of nothing is built at once
FIRST, SECOND = "Which ones?", "And then?"


@pytest.fixture
def server(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHubServer]:
    catalog = isolated.with_name("catalog.yaml")
    catalog.write_text(CATALOG)
    monkeypatch.setenv("SCAFFOLD_CATALOG", str(catalog))
    with GitHubServer() as running:
        running.add("new/knots", description="Ties knots", stargazers_count=40_000, language="Rust")
        running.add("new/awesome-knots", description=f"Awesome list on {EVIL} knots", topics=["awesome-list"])
        for name in ("new/awesome-knots", "lists/one", "lists/two"):
            running.add_file(name, "README.md", README)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def host(
    server: GitHubServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitServer]:
    with serve(tmp_path_factory.mktemp("host")) as running:
        for name in ("new/knots", "a/one", "a/slow"):
            running.add(name)
        monkeypatch.setenv("GITHUB_SERVER_URL", running.url)
        yield running


def _without_terminal(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "scaffold", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=60,
    )


# search -i


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        (ENTER, 0, "Nothing was picked."),
        ("q", 0, "Nothing was picked."),
        (ESCAPE, 0, "Nothing was picked."),
        (CTRL_D, 0, "Nothing was picked."),
        (CTRL_C, 130, "Interrupted."),
        (CTRL_Q, 130, "Interrupted."),
        # What means nothing changes nothing; what is picked may be given back.
        (f"7x?\x1b[5~{SPACE}{SPACE}{ENTER}", 0, "Nothing was picked."),
    ],
)
def test_the_first_question_can_be_left(server: GitHubServer, in_tmp: Path, keys: str, code: int, said: str) -> None:
    with Terminal("search", "-i", "knots", folder=in_tmp) as terminal:
        terminal.wait_for("new/awesome-knots")
        terminal.press(keys)
        assert terminal.end() == code
        assert terminal.screen.text.splitlines()[-1] == said
        assert FIRST in terminal.screen.text
        assert SECOND not in terminal.screen.text
        assert terminal.is_as_before


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [("q", 0, "Nothing was done."), (CTRL_D, 0, "Nothing was done."), (CTRL_C, 130, "Interrupted.")],
)
def test_the_second_question_can_be_left(server: GitHubServer, in_tmp: Path, keys: str, code: int, said: str) -> None:
    with Terminal("search", "-i", "knots", folder=in_tmp) as terminal:
        terminal.wait_for("new/awesome-knots")
        terminal.press(SPACE, ENTER)
        terminal.wait_for("clone them into references/")
        assert "start a" not in terminal.screen.text  # no starter is for knots
        terminal.press(keys)
        assert terminal.end() == code
        assert terminal.screen.text.splitlines()[-1] == said
        assert terminal.is_as_before
    assert list(in_tmp.iterdir()) == []


def test_all_that_were_picked_are_shown(server: GitHubServer, in_tmp: Path) -> None:
    with Terminal("search", "-i", "knots", "--sync", folder=in_tmp) as terminal:
        terminal.wait_for(FIRST)
        terminal.wait_for("new/awesome-knots")
        terminal.press("a", ENTER)
        terminal.wait_for(SECOND)
        terminal.press(ENTER)
        assert terminal.end() == 0
        assert "https://github.com/new/knots" in terminal.screen.text
        assert "A knot for sails" in terminal.screen.text
        assert terminal.is_as_before


def test_text_from_outside_sends_nothing_to_the_terminal(server: GitHubServer, in_tmp: Path) -> None:
    name = "new/awesome-knots"
    for arguments, text in {
        ("sync", name): "1 synced",
        ("show", name): "sails",
        ("show", name, "--readme"): "sails",
        ("search", "knots"): "Awesome list on ]0;title",
    }.items():
        with Terminal(*arguments, folder=in_tmp) as terminal:
            assert terminal.end() == 0
            assert text in terminal.screen.text
            assert terminal.is_as_before
            assert not [part for part in ("\x1b[31;7m", "\x1b[6n", "\u202e", "\x9b") if part in terminal.screen.sent]


def test_a_screen_tells_what_is_stray() -> None:
    screen = Screen(20, 5)
    screen.feed(f"a{EVIL}")
    assert screen.stray == ["\x1b", "\x07", "\x1b[2J", "\x9b"]


def test_what_was_picked_is_cloned(host: GitServer, in_tmp: Path) -> None:
    with Terminal("search", "-i", "knots", "--kind", "project", folder=in_tmp) as terminal:
        terminal.wait_for("new/knots")
        terminal.press(SPACE, ENTER)
        terminal.wait_for(SECOND)
        terminal.press(DOWN, ENTER)
        assert terminal.end() == 0
        assert "$ scaffold clone new/knots" in terminal.screen.text
        assert terminal.is_as_before
    assert (in_tmp / "references/new/knots/README.md").is_file()


def test_a_topic_of_two_words_is_started_whole(host: GitServer, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCAFFOLD_CATALOG")
    with Terminal("search", "-i", "language", "model", "--offline", folder=in_tmp) as terminal:
        terminal.wait_for(FIRST)
        terminal.press(SPACE, ENTER)
        terminal.wait_for("project for the topic")
        terminal.press(DOWN, DOWN, ENTER)
        terminal.wait_for("$ scaffold start 'language model'")
        terminal.wait_for("[Y/n]")
        terminal.press("n", ENTER)
        terminal.wait_for("Make a ")
        terminal.press("n", ENTER)
        assert terminal.end() == 0
        assert terminal.is_as_before
    assert list(in_tmp.iterdir()) == []


def test_an_interrupt_ends_the_showing_of_several(server: GitHubServer, in_tmp: Path) -> None:
    with Terminal("search", "-i", "knots", folder=in_tmp) as terminal:
        terminal.wait_for("new/awesome-knots")
        terminal.press("a", ENTER)
        terminal.wait_for(SECOND)
        server.fail(kind="hang")
        before = len(server.requests)
        terminal.press(ENTER)
        terminal.wait_until(lambda: len(server.requests) > before)
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        assert terminal.screen.text.count("Interrupted.") == 1
        assert terminal.is_as_before
    assert len(server.requests) == before + 1


def test_no_hits_ask_nothing(server: GitHubServer, in_tmp: Path) -> None:
    with Terminal("search", "-i", "zzqqzzqq", "--offline", folder=in_tmp) as terminal:
        assert terminal.end() == 0
        assert FIRST not in terminal.screen.text
        assert "zzqqzzqq" in terminal.screen.text


def test_a_result_that_goes_to_a_file_is_not_picked_from(server: GitHubServer, in_tmp: Path) -> None:
    with (in_tmp / "out").open("wb") as out, Terminal("search", "-i", "nlp", folder=in_tmp, stdout=out) as terminal:
        assert terminal.end() == 2
        assert "-i needs a terminal" in terminal.screen.text


# sync


def test_syncing_shows_a_bar_and_takes_it_away(server: GitHubServer, in_tmp: Path) -> None:
    server.fail(kind="hang", path="lists/slow")
    with Terminal("sync", "lists/one", "lists/slow", "lists/two", folder=in_tmp) as terminal:
        terminal.wait_for("2/3")
        assert terminal.screen.modes["25"] is False
        server.released.set()
        assert terminal.end() == 7
        lines = terminal.screen.text.splitlines()
        assert lines[:2] == ["Building the index …", "3 lists: 2 synced, 1 failed."]
        assert "━" not in terminal.screen.text
        assert terminal.is_as_before


def test_an_interrupted_sync_says_one_line_and_keeps_what_came(
    scaffold: Scaffold, server: GitHubServer, in_tmp: Path
) -> None:
    server.fail(kind="hang", path="lists/slow")
    with Terminal("sync", "lists/one", "lists/slow", "lists/two", folder=in_tmp) as terminal:
        terminal.wait_for("2/3")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        assert terminal.screen.text == "Interrupted: 2 lists kept. `scaffold sync` goes on with the rest."
        assert terminal.is_as_before
    found = scaffold("show", "k/reef", "--offline", "--json").json
    assert sorted(found["lists"]) == ["lists/one", "lists/two"]


def test_an_interrupt_while_the_index_is_built_keeps_all(
    server: GitHubServer, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = in_tmp / "catalog.yaml"
    os.mkfifo(catalog)  # read once for what it holds; the reading for the index then waits
    monkeypatch.setenv("SCAFFOLD_CATALOG", str(catalog))
    threading.Thread(target=catalog.write_text, args=(CATALOG,), daemon=True).start()
    with Terminal("sync", "lists/one", folder=in_tmp) as terminal:
        terminal.wait_for("Building the index …")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        said = terminal.screen.text.replace("^C", "").splitlines()
        assert said == ["Building the index …", "Interrupted: 1 list kept. The next search builds the index."]


# clone


def test_an_interrupted_clone_says_one_line_and_keeps_what_came(host: GitServer, in_tmp: Path) -> None:
    host.faults["a/slow"] = Fault(trickle=True)
    arguments = ("clone", "a/one", "a/slow", "--json")
    with (in_tmp / "out").open("wb") as out, Terminal(*arguments, folder=in_tmp, stdout=out) as terminal:
        # All of the drawing: at Ctrl-C a terminal throws away what it has not shown yet.
        terminal.wait_until(lambda: "1/2" in terminal.screen.text.partition("a/one: cloned")[2])
        terminal.wait_until(host.trickling.is_set)
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        said = "Interrupted: 1 repository is here. The same command goes on with the rest."
        assert terminal.screen.text.splitlines() == ["a/one: cloned", said], repr(terminal.screen.sent)
        assert terminal.is_as_before
    document = json.loads((in_tmp / "out").read_text())
    assert [(item["repo"], item["status"]) for item in document["references"]] == [("a/one", "cloned")]
    assert [path.name for path in (in_tmp / "references/a").iterdir()] == ["one"]
    assert "a/slow" not in (in_tmp / "references.lock").read_text()
    assert sorted(path.name for path in in_tmp.iterdir()) == ["out", "references", "references.lock"]


def test_what_is_said_while_cloning_stands_above_the_bar(host: GitServer, in_tmp: Path) -> None:
    host.faults["a/one"] = Fault(cut_after=40)
    with Terminal("clone", "a/one", folder=in_tmp) as terminal:
        terminal.wait_for("trying again in")
        host.faults.clear()
        assert terminal.end() == 0
        lines = terminal.screen.text.splitlines()
        assert lines[0].startswith(f"{host.url}/a/one.git: ")
        assert "a/one: cloned" in lines
        assert "━ " not in terminal.screen.text
        assert terminal.is_as_before


# Without a terminal


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sync", "lists/one", "lists/none"], 7),
        (["clone", "a/one", "a/none"], 7),
        (["search", "knots", "--sync"], 0),
        (["show", "new/knots"], 0),
        (["templates"], 0),
    ],
)
def test_without_a_terminal_there_are_no_control_characters(
    host: GitServer, in_tmp: Path, arguments: list[str], code: int
) -> None:
    done = _without_terminal(*arguments, folder=in_tmp)
    assert done.returncode == code, done.stderr
    said = (done.stdout + done.stderr).decode()
    assert "".join(said.split()).isprintable()
    assert "\r" not in said
