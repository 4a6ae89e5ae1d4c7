"""The one renderer. A command hands over plain values; here they become a table, a line or one JSON document.

Results go to stdout, messages about the run to stderr. At a terminal tables are drawn by Rich; anywhere else they are
plain aligned text, which also keeps Rich off the start-up path. All text from outside passes `clean`, so that no file
and no server can send control sequences to the terminal.
"""

from __future__ import annotations

import codecs
import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from scaffold.errors import ScaffoldError

if TYPE_CHECKING:
    from rich.console import Console

# Bidirectional overrides and isolates: they make text read differently from what it says.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """Text without control characters (a newline or tab becomes a space) and without bidirectional overrides."""
    if text.isascii() and text.isprintable():
        return text
    spaced = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return "".join(char for char in spaced if unicodedata.category(char) != "Cc" and char not in _BIDI)


class Output:
    """Where a command puts what it has to say.

    Args:
        as_json: print one JSON document instead of text.
        stdout: for results.
        stderr: for messages and progress.
    """

    def __init__(self, *, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self.debug = False
        self._stdout = stdout or sys.stdout
        self._own_stderr = stderr
        self._console: Console | None = None
        self._begun = False

    @property
    def _stderr(self) -> TextIO:
        """Looked up each time: while bars are shown, Rich puts a stream there that writes above them."""
        return self._own_stderr or sys.stderr

    @property
    def at_terminal(self) -> bool:
        """Whether a person reads stdout as it is written."""
        return self._stdout.isatty() and not self.as_json

    def emit(self, document: dict[str, Any], view: Callable[[], None]) -> None:
        """The result: the document with `--json`, otherwise what `view` prints through this object."""
        if self.as_json:
            # JSON is UTF-8. A pipe of Windows' has the local code page: there it is ASCII, which is both.
            encoding = getattr(self._stdout, "encoding", None) or "utf-8"
            ascii_only = codecs.lookup(encoding).name != "utf-8"
            self._stdout.write(json.dumps(document, ensure_ascii=ascii_only, indent=2) + "\n")
        else:
            view()

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line of the result."""
        self._begun = True
        if self.at_terminal:
            from rich.text import Text

            self._rich().print(Text(clean(text), style=style or ""), soft_wrap=True)
        else:
            self._stdout.write(clean(text).rstrip() + "\n")

    def heading(self, text: str) -> None:
        """A line that names what follows, apart from what stands before."""
        if self._begun:
            self.line()
        self.line(text, style="bold")

    def markdown(self, text: str) -> None:
        """A Markdown text: rendered at a terminal, as it is anywhere else."""
        self._begun = True
        lines = "\n".join(clean(line) for line in text.splitlines())
        if self.at_terminal:
            from rich.markdown import Markdown

            self._rich().print(Markdown(lines, hyperlinks=False))
        else:
            self._stdout.write(lines + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | None]], styles: Sequence[str] = ()) -> None:
        """A table; unknown cells are shown as `-`.

        Args:
            columns: headings.
            rows: cells, as many in each row as there are headings.
            styles: a Rich style for each column, for terminals.
        """
        self._begun = True
        cells = [[clean(cell) if cell else "-" for cell in row] for row in rows]
        if self.at_terminal:
            self._rich_table(columns, cells, styles)
            return
        widths = [max(_width(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
        for row in [list(columns), *cells]:
            padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
            self._stdout.write("  ".join(padded).rstrip() + "\n")

    def next_steps(self, commands: Sequence[str], title: str = "Next") -> None:
        """What to type next, one command a line, fit to be pasted."""
        self.heading(title)
        for command in commands:
            self.line(f"  {command}", style="cyan")

    def note(self, text: str) -> None:
        """A message about the run, on stderr."""
        self._stderr.write(clean(text) + "\n")

    def error(self, error: ScaffoldError) -> None:
        """What happened, and what to do next, on stderr."""
        self._stderr.write(f"error: {clean(error.message)}\n")
        if error.hint:
            self._stderr.write(f"  {clean(error.hint)}\n")

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._stdout, highlight=False, emoji=False, markup=False)
        return self._console

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for number, column in enumerate(columns):
            style = styles[number] if number < len(styles) else ""
            table.add_column(column, style=style, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._rich().print(table)


def _width(text: str) -> int:
    """Columns that a text takes at a terminal: Korean and other wide letters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has: `--json` and `--debug`."""

    def set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Output).as_json |= value

    def set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.ensure_object(Output).debug |= value

    # Eager: known before another option can fail.
    as_json = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=set_json, help="Print one JSON document."
    )
    debug = click.option(
        "--debug", is_flag=True, is_eager=True, expose_value=False, callback=set_debug, help="Show tracebacks."
    )
    return as_json(debug(command))
