"""Recordings that a test writes out file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.hardware.detect import detect
from scaffold.hardware.machine import Machine
from scaffold.hardware.recording import RecordedSource

Files = dict[str, str]


def _write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@pytest.fixture
def write() -> Callable[[Path, Files], Path]:
    """Writes files into a folder and returns the folder."""
    return _write


@pytest.fixture
def look(tmp_path: Path) -> Callable[[Files], Machine]:
    """What detection says about a machine with these files."""

    def detected(files: Files) -> Machine:
        return detect(RecordedSource(_write(tmp_path / "recording", files)))

    return detected
