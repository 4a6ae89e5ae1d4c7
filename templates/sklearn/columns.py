"""What each column of a text table is, decided from the rows to learn from, and the table turned into features.

The decisions are a list of `Column`. They are saved with the model, so that a file given to predict.py months later is
read exactly like the one that the model learned from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from words import say, shorten

# A column is of a kind when this share of its known values can be read as that kind; the rest count as missing.
ENOUGH = 0.8
# A text column with more different values than this is target-encoded instead of one-hot encoded.
FEW_CATEGORIES = 30
DATE_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y. %m. %d.", "%Y년 %m월 %d일", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y"),
    *("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S"),
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"),
)
BOOLEANS = {
    **dict.fromkeys(("true", "yes", "y", "t", "예", "네", "참", "o", "1"), 1.0),
    **dict.fromkeys(("false", "no", "n", "f", "아니오", "아니요", "거짓", "x", "0"), 0.0),
}
EPOCH = pd.Timestamp("1970-01-01")  # in microseconds like the dates: nanoseconds end in the year 2262
# The largest number that a tree can compare; beyond are stand-ins for "unknown", such as 1.8e308.
LARGEST = float(np.finfo(np.float32).max)
CROSS_MARKS = {"o", "x"}  # yes and no in Korean forms, but letters like any other unless they come as this pair
# Thousands separators and decimal marks: 1,234.5 is style ".", 1.234,5 is style ",".
THOUSANDS = {".": r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", ",": r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?"}
UNITS = r"^[₩$€£¥]\s*|\s*(?:%|원)$"
ID_NAME = re.compile(r"(?i:(^|[ _.-])(id|uuid|no|idx|index|key)$)|[a-z]I[dD]$|번호$|순번$|아이디$")


@dataclass(frozen=True)
class Column:
    """One column that the model uses. `style` is the decimal mark of a number or the format of a date."""

    name: str
    kind: str  # number, boolean, date, category (one-hot encoded) or many (target-encoded)
    style: str = ""

    @property
    def features(self) -> list[str]:
        """The names of the features that this column becomes."""
        return [f"{self.name} ({part})" for part in ("day", "month", "weekday")] if self.kind == "date" else [self.name]

    @property
    def looks_like_id(self) -> bool:
        """Whether the name is that of a number which stands for something, such as a customer."""
        return self.kind in ("number", "many", "category") and bool(ID_NAME.search(self.name))


def describe(table: pd.DataFrame, drop: Iterable[str] = (), keep: Iterable[str] = ()) -> tuple[list[Column], list[str]]:
    """Decide what each column is. Returns those worth using and a note on everything that is not self-evident."""
    columns, notes = [], []
    drop, keep = set(drop), set(keep)
    for name in table:
        if name in drop:
            notes.append(say("{name}: left out, as data.drop says", name=name))
            continue
        values = table[name]
        column, note = _kind(name, values)
        reason = _useless(name, values, column)
        if reason and (name not in keep or values.isna().all()):
            notes.append(say("{name}: left out, {reason}", name=name, reason=reason))
            continue
        columns.append(column)
        if note:
            notes.append(f"{name}: {note}")
    return columns, notes


def convert(table: pd.DataFrame, columns: list[Column]) -> pd.DataFrame:
    """The features of a table, as decided by `describe`. A value that can't be read that way becomes missing."""
    features: dict[str, pd.Series] = {}
    for column in columns:
        values = table[column.name]
        if column.kind != "number":
            values = as_text(values)  # in Parquet the same code may have been stored as a number
        if column.kind == "number":
            features[column.name] = to_number(values, column.style)
        elif column.kind == "boolean":
            features[column.name] = values.str.lower().map(BOOLEANS).astype(float)
        elif column.kind == "date":
            dates = to_date(values, column.style)
            parts = ((dates - EPOCH) / pd.Timedelta(days=1), dates.dt.month, dates.dt.day_of_week)
            features |= {name: part.astype(float) for name, part in zip(column.features, parts, strict=True)}
        else:
            features[column.name] = values.astype(object).where(values.notna(), np.nan)
    return pd.DataFrame(features, index=table.index)


def as_text(values: pd.Series) -> pd.Series:
    """Numbers as they would stand in a CSV file: 3 and not 3.0; text stays as it is."""
    if not pd.api.types.is_numeric_dtype(values):
        return values
    known = values.dropna()
    whole = known.astype("int64") if (known % 1 == 0).all() and known.abs().max() < 2**53 else known
    return whole.astype(str).astype(object).reindex(values.index)


def to_number(values: pd.Series, style: str = ".") -> pd.Series:
    """Text as numbers; units and thousands separators are taken off, what is no number or far too large is missing."""
    if pd.api.types.is_numeric_dtype(values):
        return _bounded(values.astype(float))
    text = values.str.replace(UNITS, "", regex=True)
    separator = "," if style == "." else "."
    text = text.where(~text.str.fullmatch(THOUSANDS[style], na=False), text.str.replace(separator, "", regex=False))
    if style == ",":
        text = text.mask(text.str.contains(".", regex=False, na=False)).str.replace(",", ".", regex=False)
    return _bounded(pd.to_numeric(text, errors="coerce").astype(float))


def _bounded(numbers: pd.Series) -> pd.Series:
    return numbers.where(numbers.abs() <= LARGEST)


def number_style(values: pd.Series) -> str | None:
    """The decimal mark with which most of a column reads as numbers; None for a column that is not numeric."""
    if pd.api.types.is_numeric_dtype(values):
        return "."
    known = values.dropna()
    if known.empty or known.str.fullmatch(r"0\d+").mean() > 0.01:  # 01234 is a code: a number loses the zero
        return None
    shares = {style: to_number(known, style).notna().mean() for style in THOUSANDS}
    best = max(shares, key=lambda style: shares[style])
    return best if shares[best] >= ENOUGH else None


def to_date(values: pd.Series, style: str) -> pd.Series:
    """Text as dates (UTC where a zone is given); what does not fit the format becomes missing."""
    return pd.to_datetime(values, format=style, errors="coerce", utc=True).dt.tz_localize(None)


def _date_style(known: pd.Series) -> str | None:
    sample = known.iloc[:: max(1, len(known) // 500)]
    shares = {style: to_date(sample, style).notna().mean() for style in DATE_FORMATS}
    best = max(shares, key=lambda style: shares[style])
    return best if shares[best] >= ENOUGH else None


def _kind(name: str, values: pd.Series) -> tuple[Column, str]:
    known = values.dropna()
    style = number_style(values)
    if style:
        return Column(name, "number", style), _number_note(known, style)
    lower = set(known.str.lower())
    words = lower == CROSS_MARKS or lower <= set(BOOLEANS) - CROSS_MARKS
    if words and len({BOOLEANS[word] for word in lower}) == 2:
        return Column(name, "boolean"), ""
    style = _date_style(known) if len(known) else None
    if style:
        return Column(name, "date", style), say("read as dates written {style}", style=style)
    distinct = known.nunique()
    if distinct > FEW_CATEGORIES:
        note = say("{count} different texts, each replaced by the average target seen with it", count=distinct)
        return Column(name, "many"), note
    return Column(name, "category"), ""


def _number_note(known: pd.Series, style: str) -> str:
    if pd.api.types.is_numeric_dtype(known):
        return ""
    unread = known[to_number(known, style).isna()]
    notes = []
    if len(unread):
        text = "numbers, with {count} other values taken as missing (such as {value!r})"
        notes.append(say(text, count=len(unread), value=shorten(unread.iloc[0])))
    if style == ",":
        notes.append(say("numbers with a decimal comma"))
    elif known.str.contains(",", regex=False).any():
        notes.append(say("numbers with thousands separators"))
    return "; ".join(notes)


def _useless(name: str, values: pd.Series, column: Column) -> str:
    known = values.dropna()
    rows, distinct = len(known), known.nunique()
    if rows == 0:
        return say("it has no values")
    if distinct == 1 and rows == len(values):
        return say("every row has the same value ({value})", value=shorten(str(known.iloc[0])))
    if column.kind in ("category", "many") and distinct > max(10, rows / 2):
        return say("it is free text or an identifier: most values occur only once")
    if column.kind == "number" and distinct == rows >= 20:
        numbers = to_number(known, column.style).dropna()
        whole = (numbers % 1 == 0).all()
        if whole and (ID_NAME.search(name) or numbers.max() - numbers.min() < 1.5 * rows):
            return say("it numbers the rows: every value occurs once")
    return ""
