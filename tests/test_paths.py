"""Where files are, said to others."""

from __future__ import annotations

import sqlite3
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from scaffold.paths import read_only


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (PureWindowsPath(r"C:\Users\a b\index.sqlite3"), "file:///C:/Users/a%20b/index.sqlite3?mode=ro"),
        (PureWindowsPath(r"\\school\home\index.sqlite3"), "file:////school/home/index.sqlite3?mode=ro"),
        (PurePosixPath("/home/a?b/index.sqlite3"), "file:///home/a%3Fb/index.sqlite3?mode=ro"),
    ],
)
def test_sqlite_is_told_a_file_as_it_takes_it(path: PureWindowsPath | PurePosixPath, address: str) -> None:
    assert read_only(path) == address


def test_a_file_of_any_name_is_opened_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "색인 ?#%.sqlite3"
    sqlite3.connect(path).execute("CREATE TABLE found (x)").connection.close()
    for address in (read_only(path), read_only(path).replace("file:///", "file:////")):  # the latter as of a server
        connection = sqlite3.connect(address, uri=True)
        assert connection.execute("SELECT count(*) FROM found").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("DROP TABLE found")
        connection.close()
