"""What columns are taken for, and what becomes of their values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from columns import Column, as_text, convert, describe, number_style, to_number


def column(*values: str | None) -> pd.Series:
    """A text column."""
    return pd.Series(values, dtype=object)


def kinds(table: dict[str, list[object]], **options: list[str]) -> dict[str, str]:
    """The kind of each usable column."""
    columns, _ = describe(pd.DataFrame(table, dtype=object), **options)
    return {column.name: column.kind for column in columns}


@pytest.mark.parametrize(
    ("values", "style", "numbers"),
    [
        (["1", "-2.5", "1e3"], ".", [1, -2.5, 1000]),
        (["1,234", "1,234,567.5", "7"], ".", [1234, 1234567.5, 7]),
        (["1,5", "2,25", "1.234,5"], ",", [1.5, 2.25, 1234.5]),
        (["₩1,200", "3,000원", "$ 5"], ".", [1200, 3000, 5]),
        (["12%", "7 %", "0.5"], ".", [12, 7, 0.5]),
        (["1", "2", "3", "4", "unknown"], ".", [1, 2, 3, 4, np.nan]),
        (["1", "inf", "2", "3", "4"], ".", [1, np.nan, 2, 3, 4]),
        (["1", "-1.7976931348623157e308", "2", "3", "4"], ".", [1, np.nan, 2, 3, 4]),
    ],
)
def test_numbers(values: list[str], style: str, numbers: list[float]) -> None:
    assert number_style(column(*values)) == style
    np.testing.assert_array_equal(to_number(column(*values), style), numbers)


def test_a_number_too_large_to_compare_is_missing_in_parquet_too() -> None:
    assert to_number(pd.Series([1.0, 1e300, np.inf])).isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    "values", [["04101", "12345", "06234"], ["a", "b", "1"], ["2024-01-05", "2024-02-06"], [None], ["1", "2", "c"]]
)
def test_not_numbers(values: list[str]) -> None:
    assert number_style(column(*values)) is None


def test_kinds() -> None:
    table = {
        "age": [str(20 + i % 40) for i in range(100)],
        "member": ["yes", "no"] * 50,
        "동의": ["예", "아니오", None, "예"] * 25,
        "city": ["a", "b", "c", None] * 25,
        "shop": [f"shop {i % 40}" for i in range(100)],
        "joined": [f"2024-0{1 + i % 9}-1{i % 10}" for i in range(100)],
        "번지": [f"0{i % 7}" for i in range(100)],
    }
    expected = ["number", "boolean", "boolean", "category", "many", "date", "category"]
    assert kinds(table) == dict(zip(table, expected, strict=True))


def test_columns_of_no_use_are_left_out_and_named() -> None:
    table = pd.DataFrame(
        {
            "customer_id": [str(7 * i) for i in range(50)],
            "row": [str(i) for i in range(50)],
            "uuid": [f"{i:04x}-x" for i in range(50)],
            "comment": [f"I like number {i}" for i in range(50)],
            "country": ["KR"] * 50,
            "empty": [None] * 50,
            "secret": ["1", "2"] * 25,
            "income": [str(i * i * 31) for i in range(50)],
        },
        dtype=object,
    )
    columns, notes = describe(table, drop=["secret"])
    assert [column.name for column in columns] == ["income"]
    for name in table.columns[:-1]:
        assert any(note.startswith(f"{name}: left out") for note in notes)


def test_keep_overrules() -> None:
    table = {"row": [str(i) for i in range(50)], "note": [f"text {i}" for i in range(50)]}
    assert kinds(table) == {}
    assert kinds(table, keep=["row", "note"]) == {"row": "number", "note": "many"}


def test_one_value_or_missing_says_something() -> None:
    assert kinds({"coupon": ["used", None] * 20}) == {"coupon": "category"}


@pytest.mark.parametrize(
    "written",
    ["2024-03-05", "2024/03/05", "2024.03.05", "2024년 03월 05일", "2024-03-05 00:00", "2024-03-05T00:00:00Z"],
)
def test_dates(written: str) -> None:
    table = pd.DataFrame({"d": [written, written.replace("05", "06", 1), None]}, dtype=object)
    columns, _ = describe(table)
    assert columns[0].kind == "date"
    features = convert(table, columns)
    assert features.columns.tolist() == ["d (day)", "d (month)", "d (weekday)"]
    assert features.iloc[0].tolist() == [19787.0, 3.0, 1.0]  # a Tuesday
    assert features.iloc[1, 0] == 19788.0
    assert features.iloc[2].isna().all()


def test_a_date_that_stands_for_never() -> None:
    table = pd.DataFrame({"until": ["2024-03-05", "9999-12-31", "1600-01-01"]}, dtype=object)
    columns, _ = describe(table)
    assert convert(table, columns)["until (day)"].tolist() == [19787.0, 2932896.0, -135140.0]


def test_a_long_cell_is_not_repeated_in_full() -> None:
    """Notes are printed, and stand in metrics.json and in the model card."""
    long = "x" * 100_000
    table = pd.DataFrame({"a": ["1", "2", "3", "4", long], "b": [long] * 5}, dtype=object)
    notes = describe(table)[1]
    assert len(notes) == 2
    assert all(len(note) < 200 for note in notes)


def test_day_and_month_are_told_apart() -> None:
    days = [f"{day}/1/2024" for day in range(1, 29)]
    columns, _ = describe(pd.DataFrame({"d": days}, dtype=object))
    assert columns[0].style == "%d/%m/%Y"


def test_values_that_do_not_fit_become_missing() -> None:
    columns = [Column("n", "number", "."), Column("b", "boolean"), Column("d", "date", "%Y-%m-%d")]
    table = pd.DataFrame({"n": ["x"], "b": ["perhaps"], "d": ["soon"]}, dtype=object)
    assert convert(table, columns).isna().all(axis=None)


def test_numbers_where_text_is_expected() -> None:
    """In Parquet a code may be a number; a model that learned from a CSV file must know it all the same."""
    assert as_text(pd.Series([1.0, np.nan, 30.0])).dropna().tolist() == ["1", "30"]
    assert as_text(pd.Series([1.5, 2.0])).tolist() == ["1.5", "2.0"]
    columns = [Column("c", "category"), Column("b", "boolean")]
    read = convert(pd.DataFrame({"c": [1.0, np.nan], "b": [1, 0]}), columns)
    assert read["c"].tolist()[0] == "1"
    assert read["c"].isna().tolist() == [False, True]
    assert read["b"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("words", "kind"), [(["O", "X"], "boolean"), (["x", "y"], "category"), (["o", "n"], "category")]
)
def test_o_and_x_mean_yes_and_no_only_as_a_pair(words: list[str], kind: str) -> None:
    columns, _ = describe(pd.DataFrame({"answer": words * 3}))
    assert [column.kind for column in columns] == [kind]
