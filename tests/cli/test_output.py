from __future__ import annotations

import io
import json

import pytest

from scaffold.cli.output import Output, clean
from scaffold.errors import ScaffoldError


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _output(*, as_json: bool = False, terminal: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    out, err = _Terminal() if terminal else io.StringIO(), io.StringIO()
    return Output(as_json=as_json, stdout=out, stderr=err), out, err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "[2Jgone"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "]8;;http://evillink]8;;"),
        ("a\u202eb", "ab"),
        ("two\nlines\r\n", "two lines  "),
        ("\x9b31mred", "31mred"),
        ("한글 ★ 🙂", "한글 ★ 🙂"),
    ],
)
def test_no_text_from_outside_controls_the_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("terminal", [False, True])
def test_every_way_out_is_cleaned(terminal: bool) -> None:
    output, out, err = _output(terminal=terminal)
    hostile = "\x1b[2Jtext"
    output.line(hostile)
    output.heading(hostile)
    output.table(["a", "b"], [[hostile, hostile]])
    output.next_steps([hostile])
    output.note(hostile)
    output.error(ScaffoldError(hostile, hint=hostile))
    assert "\x1b[2J" not in out.getvalue() + err.getvalue()
    assert out.getvalue().count("text") == 5


def test_json_is_one_document_and_nothing_else() -> None:
    output, out, err = _output(as_json=True)
    output.emit({"name": "한글"}, lambda: pytest.fail("the view is for people"))
    output.note("a message")
    assert json.loads(out.getvalue()) == {"name": "한글"}
    assert err.getvalue() == "a message\n"


def test_json_loses_nothing_in_a_windows_code_page() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp949", errors="replace")
    document = {"name": "한글 🙂 über"}
    Output(as_json=True, stdout=stream).emit(document, lambda: None)
    stream.seek(0)
    assert json.loads(stream.buffer.read().decode("utf-8")) == document


def test_plain_tables_are_aligned_also_for_wide_letters() -> None:
    output, out, _ = _output()
    output.table(["name", "what"], [["한글", "x"], ["abcd", "y"], ["a", None]])
    assert out.getvalue().splitlines() == ["name  what", "한글  x", "abcd  y", "a     -"]


def test_at_a_terminal_a_table_has_colour_and_elsewhere_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for terminal in (True, False):
        output, out, _ = _output(terminal=terminal)
        output.table(["name"], [["value"]], ["bold"])
        assert ("\x1b[" in out.getvalue()) == terminal


def test_an_error_is_at_most_two_lines() -> None:
    output, _, err = _output()
    output.error(ScaffoldError("it\nfailed", hint="do this"))
    assert err.getvalue() == "error: it failed\n  do this\n"
