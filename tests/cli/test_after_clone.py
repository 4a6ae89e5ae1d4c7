"""What is read of references while others are still underway."""

from __future__ import annotations

import shutil
from pathlib import Path

from scaffold.cli.after_clone import Readings
from scaffold.errors import NotFoundError
from scaffold.references.reference import Reference, failed
from tests.references.howto_trees import TREES
from tests.references.test_howto import build


def test_a_reference_is_read_once_when_it_ends(in_tmp: Path) -> None:
    folder = in_tmp / "references/a/b"
    build(folder, TREES["scripts with requirements"][0])
    readings, reference = Readings(), Reference("a/b", str(folder), "0" * 40, "cloned")
    readings.read(reference)
    shutil.rmtree(folder)
    howto = readings.of(reference)
    assert howto is not None
    assert howto.install is not None
    assert howto.install.source == "requirements.txt"


def test_one_that_failed_is_not_read(in_tmp: Path) -> None:
    build(in_tmp / "b", TREES["scripts with requirements"][0])
    assert Readings().of(failed("a/b", NotFoundError("there is no such repository"), in_tmp / "b")) is None
