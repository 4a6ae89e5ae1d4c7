"""The documentation says what is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaffold.cli.main import COMMANDS
from tests.conftest import REPOSITORY

_PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


def test_the_commands_page_is_what_the_commands_say() -> None:
    check = [sys.executable, "docs/write_commands.py", "--check"]
    assert subprocess.run(check, cwd=REPOSITORY, check=False).returncode == 0


def test_the_readme_shows_the_main_job_and_every_command() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for text in ("make demo", "make test", *(f"scaffold {name}" for name in COMMANDS)):
        assert text in readme
    assert "pip install scaffold" not in readme


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
