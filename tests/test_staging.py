"""Staging folders: gone afterwards, swept when nobody holds them, left alone while somebody does."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from scaffold.staging import held, staging_folder
from tests.references.conftest import leftovers


def test_a_staging_folder_is_gone_afterwards_also_after_an_error(in_tmp: Path) -> None:
    def interrupted() -> None:
        with staging_folder(in_tmp) as folder:
            (folder / "deep/er").mkdir(parents=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert leftovers(in_tmp) == []


def test_a_folder_of_somebody_elses_is_never_swept(in_tmp: Path) -> None:
    (in_tmp / ".scaffold-notes").mkdir()
    (in_tmp / ".scaffold-notes" / "mine.txt").write_text("mine")
    with staging_folder(in_tmp):
        pass
    assert (in_tmp / ".scaffold-notes" / "mine.txt").read_text() == "mine"


def test_what_nobody_holds_is_swept_and_what_somebody_holds_is_not(in_tmp: Path) -> None:
    abandoned = in_tmp / ".scaffold-0123456789ab"
    (abandoned / "repo/.git").mkdir(parents=True)
    with staging_folder(in_tmp) as first, staging_folder(in_tmp) as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
        assert not abandoned.exists()
        assert len(leftovers(in_tmp)) == 4
    assert leftovers(in_tmp) == []


def test_what_is_let_go_of_meanwhile_is_swept_in_the_end(in_tmp: Path) -> None:
    """A git that a killed run was just starting holds that run's lock for a moment longer."""
    theirs = in_tmp / ".scaffold-0123456789ab"
    (theirs / "repo").mkdir(parents=True)
    with contextlib.ExitStack() as here, held(theirs.with_name(f"{theirs.name}.lock")):
        here.enter_context(staging_folder(in_tmp))
        assert theirs.exists()
    assert leftovers(in_tmp) == []


def test_a_lock_is_held_by_one_at_a_time(in_tmp: Path) -> None:
    path = in_tmp / "lock"
    with held(path) as mine:
        assert mine
        with held(path) as theirs:
            assert not theirs
        assert path.exists()
    assert not path.exists()
    with held(path) as again:
        assert again
