"""A CSV or Parquet file as a table: which encoding, which separator, is there a header.

Nothing is interpreted here except what a missing value looks like; what a column means is decided in columns.py.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from runtime.extras import need
from runtime.settings import UserError
from words import say

MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "-", "?")
SEPARATORS = (",", ";", "\t", "|")
PARQUET = b"PAR1"  # how such a file begins


def read_table(path: Path, encoding: str = "auto") -> tuple[pd.DataFrame, list[str]]:
    """Read a file: every cell is text or missing, or a number in Parquet. Returns the table and notes on guesses.

    Raises UserError for a file that is missing, empty, not text, or whose lines differ in length.
    """
    content = _read(path)
    if content.startswith(PARQUET):
        return read_parquet(path, content)
    text, notes = _decode(path, content, encoding)
    if not text.strip():
        raise UserError(f"{path} is empty")
    separator = sniff_separator(text)
    try:
        cells = pd.read_csv(io.StringIO(text), sep=separator, header=None, dtype=str, na_filter=False)
    except pd.errors.ParserError as error:
        raise UserError(f"{path}: {_explain(str(error))}") from None
    cells = pd.DataFrame({position: clean(cells[position]) for position in cells})
    names = cells.iloc[0].fillna("").tolist()
    if looks_like_data(names):
        notes.append(say("the first line looks like data: the columns are called column_1, column_2, ..."))
        names = [""] * len(names)
    else:
        cells = cells.iloc[1:]
    cells.columns = _unique_names(names, notes)
    return cells.dropna(how="all").reset_index(drop=True), notes


def read_parquet(path: Path, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """Read a Parquet file: numbers stay numbers, everything else becomes the text that a CSV file would hold."""
    need("pyarrow", "reading Parquet")
    try:
        cells = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (ValueError, OSError, NotImplementedError) as error:
        raise UserError(f"{path} can't be read as Parquet: {error}") from None
    cells = cells.reset_index() if cells.index.names != [None] else cells  # a named index was a column once
    if cells.empty:
        raise UserError(f"{path} is empty")
    notes: list[str] = []
    table = pd.DataFrame({position: _plain(cells.iloc[:, position]) for position in range(cells.shape[1])})
    table.columns = _unique_names([str(name).strip() for name in cells.columns], notes)
    for position, name in enumerate(table):
        if cells.iloc[:, position].map(lambda cell: isinstance(cell, (list, dict, np.ndarray))).any():
            notes.append(say("{name}: lists or tables inside a cell are read as text; better unpack them", name=name))
    return table.dropna(how="all").reset_index(drop=True), notes


def _plain(cells: pd.Series) -> pd.Series:
    """A Parquet column without its types: whole numbers, numbers, or text."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        cells = cells.dt.tz_convert("UTC").dt.tz_localize(None) if cells.dt.tz else cells
        cells = cells.dt.strftime("%Y-%m-%d %H:%M:%S")
    if pd.api.types.is_bool_dtype(cells) or not pd.api.types.is_numeric_dtype(cells):
        return clean(
            pd.Series([str(value) if known else "" for value, known in zip(cells, cells.notna(), strict=True)])
        )
    whole = pd.api.types.is_integer_dtype(cells) and cells.notna().all()
    return cells.astype("int64" if whole and cells.max() < 2**63 else "float64").replace([np.inf, -np.inf], np.nan)


def clean(cells: pd.Series) -> pd.Series:
    """Text without the blanks around it; what people write for "nothing" becomes missing."""
    stripped = cells.astype(object).str.strip()
    return stripped.mask(stripped.isin(MISSING))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (IsADirectoryError, PermissionError):  # the latter is what Windows says of a folder
        if not path.is_dir():
            raise
        raise UserError(f"{path} is a folder, not a table") from None


def _decode(path: Path, content: bytes, encoding: str) -> tuple[str, list[str]]:
    if content.startswith(b"PK\x03\x04"):
        raise UserError(f"{path} is an Excel or zip file; save the sheet as CSV first")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # what Excel calls "Unicode text"
        tries = ["utf-16"]
    else:
        # cp1252 comes last because it accepts nearly everything; cp949 is what Korean Windows writes.
        tries = ["utf-8-sig", "cp949", "cp1252", "latin-1"] if encoding == "auto" else [encoding]
    for name in tries:
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise UserError(f"data.encoding: Python knows no encoding called {name}") from None
        if "\0" in text:
            raise UserError(f"{path} is not a text file")
        read = say("{file} was read as {encoding}, not UTF-8", file=path.name, encoding=name)
        return text, [] if name == "utf-8-sig" else [read]
    raise UserError(f"{path} can't be read as {tries[-1]}; set data.encoding to the file's encoding, or to auto")


def sniff_separator(text: str) -> str:
    """The separator that gives most lines as many fields as the first line; a comma where none splits it."""

    def fit(separator: str) -> tuple[float, int]:
        try:
            rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), 50))
        except csv.Error:
            return 0.0, 0
        widths = [len(row) for row in rows if row]
        if not widths or widths[0] == 1:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(SEPARATORS, key=fit)


def looks_like_data(names: list[str]) -> bool:
    """Whether a first line holds values instead of names: mostly numbers that don't simply count up (as years do)."""
    numbers = [float(name) for name in names if re.fullmatch(r"[+-]?\d+(\.\d+)?", name)]
    counting = all(later == earlier + 1 for earlier, later in pairwise(numbers))
    return len(numbers) * 2 > len(names) and not (counting and numbers[0].is_integer())


def _unique_names(names: list[str], notes: list[str]) -> list[str]:
    unique: list[str] = []
    for position, name in enumerate(names, start=1):
        name = name or f"column_{position}"
        candidate, count = name, 1
        while candidate in unique:
            count += 1
            candidate = f"{name}_{count}"
        if candidate != name:
            renamed = "two columns are called {name}: column {position} is now {new}"
            notes.append(say(renamed, name=name, position=position, new=candidate))
        unique.append(candidate)
    return unique


def _explain(message: str) -> str:
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found:
        expected, line, saw = found.groups()
        return f'line {line} has {saw} fields, but the lines above it {expected} (a text with a separator needs "")'
    if "EOF inside string" in message:
        return 'a quotation mark " is opened and never closed'
    return message
