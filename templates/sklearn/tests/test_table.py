"""Reading CSV files as people have them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from columns import convert, describe
from runtime.settings import UserError
from table import read_table


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_encodings_and_separators(tmp_path: Path, encoding: str, separator: str) -> None:
    lines = [
        ["이름", "값"],
        ["가나", '"1,5"'],
        ["다라", '"2;5"'],
        ["", "NA"],
        ["마", "\t끝 " if separator != "\t" else "끝"],
    ]
    path = tmp_path / "표.csv"
    path.write_bytes("\r\n".join(separator.join(line) for line in lines).encode(encoding))
    table, notes = read_table(path)
    assert table.columns.tolist() == ["이름", "값"]
    assert table["이름"].tolist() == ["가나", "다라", "마"]
    assert table["값"].tolist() == ["1,5", "2;5", "끝"]
    assert bool(notes) == (not encoding.startswith("utf-8"))


def test_quotes_hold_separators_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,y\n"a, ""b""\nc",1\n', encoding="utf-8")
    assert read_table(path)[0]["text"].tolist() == ['a, "b"\nc']


def test_a_decimal_comma_is_no_separator(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1,5;2,5\n3,5;4,5\n", encoding="utf-8")
    assert read_table(path)[0].to_dict("list") == {"a": ["1,5", "3,5"], "b": ["2,5", "4,5"]}


def test_short_lines_are_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n4\n", encoding="utf-8")
    assert read_table(path)[0].iloc[1].isna().tolist() == [False, True, True]


def test_a_file_without_header_loses_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n", encoding="utf-8")
    table, notes = read_table(path)
    assert len(table) == 2
    assert table.columns.tolist() == ["column_1", "column_2", "column_3"]
    assert "first line" in notes[0]


def test_years_are_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("country,2021,2022,2023\nx,1,2,3\n", encoding="utf-8")
    assert read_table(path)[0].columns.tolist() == ["country", "2021", "2022", "2023"]


def test_names_that_repeat_or_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,a,,y\n1,2,3,4\n", encoding="utf-8")
    assert read_table(path)[0].columns.tolist() == ["a", "a_2", "column_3", "y"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"PK\x03\x04rest", "Excel"),
        (b"a,b\n\x00\x01,2\n", "not a text file"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields"),
        (b'a,b\n1,"x\n2,y\n', "never closed"),
    ],
)
def test_unusable_files_are_explained(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UserError, match="folder"):
        read_table(tmp_path)


def test_a_chosen_encoding_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("이름,y\n가,1\n".encode("cp949"))
    assert read_table(path, "cp949")[0].columns[0] == "이름"
    with pytest.raises(UserError, match="can't be read as utf-8"):
        read_table(path, "utf-8")
    with pytest.raises(UserError, match="no encoding called klingon"):
        read_table(path, "klingon")


def test_cells_are_text_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n 1 ,?\nnull,x\n", encoding="utf-8")
    table, _ = read_table(path)
    expected = pd.DataFrame({"a": ["1", None], "b": [None, "x"]}, dtype=object)
    assert table.isna().equals(expected.isna())
    assert table.loc[0, "a"] == "1"


def test_parquet_is_read_like_the_same_table_in_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    typed = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "class": [2, 1, 2],
            "number": [0.5, float("inf"), None],
            "text": [" a ", "NA", None],
            "kind": pd.Categorical(["x", "y", None]),
            "yes": pd.array([True, None, False], dtype="boolean"),
            "day": pd.to_datetime(["2024-01-05", None, "2024-01-07"]),
            "moment": pd.to_datetime(["2024-01-05 01:00:00+09:00", None, "2024-01-07 12:30:05+09:00"]),
            "price": [Decimal("1.50"), None, Decimal("2")],
            7: [b"\xff", None, b"ab"],
        }
    ).rename(columns=str)
    path = tmp_path / "표.parquet"
    typed.to_parquet(path)
    table, notes = read_table(path)
    assert notes == []
    assert table.columns.tolist() == [*typed.columns]
    assert table["class"].tolist() == [2, 1, 2]
    assert table["class"].dtype == "int64"
    assert table["number"].isna().tolist() == [False, True, True]
    for name, values in {"text": ["a"], "kind": ["x", "y"], "yes": ["True", "False"]}.items():
        assert table[name].dropna().tolist() == values
    assert table["moment"].dropna().tolist() == ["2024-01-04 16:00:00", "2024-01-07 03:30:05"]
    columns, _ = describe(table[["whole", "number", "kind", "yes", "day", "price"]])
    assert [column.kind for column in columns] == ["number", "number", "category", "boolean", "date", "number"]
    assert convert(table, columns)["yes"].tolist()[::2] == [1.0, 0.0]


def test_nested_parquet_is_noted(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    path = tmp_path / "nested.parquet"
    pd.DataFrame({"x": [1, 2], "list": [[1, 2], None], "table": [{"a": 1}, {"a": 2}]}).to_parquet(path)
    table, notes = read_table(path)
    assert [note.split(":")[0] for note in notes] == ["list", "table"]
    assert table["list"].isna().tolist() == [False, True]


def test_a_damaged_parquet_file_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nothing more")
    with pytest.raises(UserError, match="can't be read as Parquet"):
        read_table(path)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="reading Parquet needs pyarrow, which is not installed: python -m pip install"):
        read_table(path)


def test_a_folder_is_no_table_as_windows_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.csv").touch()
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match="is a folder, not a table"):
        read_table(tmp_path)
    with pytest.raises(PermissionError):
        read_table(tmp_path / "mine.csv")
