"""`references.lock`: written whole, merged, and trusted no more than what a person types."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from scaffold.errors import NotFoundError, RefusedError, ScaffoldError
from scaffold.references.lock import Locked, read_lock, record, require_lock, spec_of
from scaffold.repository import RepositoryName
from scaffold.settings import Settings
from tests.references.conftest import leftovers

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_ENTRY = (
    f'[[references]]\nrepo = "a/b"\nurl = "https://github.com/a/b.git"\ncommit = "{_COMMIT}"\ndate = "2026-01-02"\n'
)


def _locked(name: str, commit: str = _COMMIT, ref: str | None = None, date: str = "2026-01-02") -> Locked:
    repo = RepositoryName("a", name)
    return Locked(repo, f"https://github.com/{repo}.git", commit, date, ref)


def _record_one(path: Path, number: int) -> None:
    record(path, [_locked(f"repo{number}")])


def test_what_is_written_is_read_back_sorted(in_tmp: Path) -> None:
    path = in_tmp / "references.lock"
    entries = [_locked("z", ref="feature/한글"), _locked("B"), _locked("c", ref="v1")]
    record(path, entries)
    read = read_lock(path)
    assert list(read) == ["a/b", "a/c", "a/z"]
    assert set(read.values()) == set(entries)
    assert leftovers(in_tmp) == []


def test_other_references_stay_and_an_unmoved_one_keeps_its_date(in_tmp: Path) -> None:
    path = in_tmp / "references.lock"
    record(path, [_locked("one"), _locked("two")])
    before = path.read_bytes()
    record(path, [_locked("one", date="2027-01-01")])
    assert path.read_bytes() == before
    record(path, [_locked("ONE", commit="f" * 40, date="2027-01-01")])
    read = read_lock(path)
    assert [(entry.commit[0], entry.date) for entry in read.values()] == [("f", "2027-01-01"), ("0", "2026-01-02")]


def test_runs_that_end_together_lose_nothing(in_tmp: Path) -> None:
    path = in_tmp / "references.lock"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(_record_one, [(path, number) for number in range(24)])
    assert len(read_lock(path)) == 24
    assert leftovers(in_tmp) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version = 1\n<<<<<<< ours\n", "line 2"),
        ("references = 3\n", "list of tables"),
        ("references = [3]\n", "entry 1"),
        (_ENTRY.replace(_COMMIT, "0123456"), "not a full commit"),
        (_ENTRY.replace('date = "2026-01-02"\n', ""), "no date"),
        (_ENTRY.replace('repo = "a/b"', 'repo = "a/../b"'), "refused"),
        (_ENTRY + 'ref = "--upload-pack=x"\n', "refused"),
        ("\ud800", "utf-8"),
    ],
)
def test_a_damaged_file_is_named_with_its_reason(in_tmp: Path, text: str, reason: str) -> None:
    path = in_tmp / "references.lock"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ScaffoldError, match=reason) as caught:
        read_lock(path)
    assert "references.lock is damaged" in caught.value.message
    with pytest.raises(ScaffoldError):
        record(path, [_locked("one")])
    assert path.read_bytes() == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a/b.git",
        "ext::sh -c id",
        "file:///a/b",
        "https://github.com@evil.example/a/b",
        "https://github.com/a/another.git",
    ],
)
def test_a_lock_file_leads_to_no_other_host_or_repository(in_tmp: Path, url: str) -> None:
    path = in_tmp / "references.lock"
    path.write_text(_ENTRY.replace("https://github.com/a/b.git", url))
    with pytest.raises(RefusedError):
        spec_of(read_lock(path)["a/b"], Settings())


def test_without_a_file_nothing_is_pinned(in_tmp: Path) -> None:
    assert read_lock(in_tmp / "references.lock") == {}
    with pytest.raises(NotFoundError):
        require_lock(in_tmp / "references.lock")


def test_a_newer_format_is_not_guessed_at(in_tmp: Path) -> None:
    (in_tmp / "references.lock").write_text("version = 2\n")
    with pytest.raises(ScaffoldError, match="newer scaffold"):
        read_lock(in_tmp / "references.lock")
