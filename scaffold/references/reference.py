"""What became of a repository that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaffold.errors import ScaffoldError


@dataclass(frozen=True, slots=True)
class Reference:
    """What became of one repository that was asked for.

    Attributes:
        repo: `owner/name`, or what was typed where that is no name.
        path: its folder, None where the name was not even tried.
        commit: the full id of the commit that is checked out, None where nothing is.
        status: `unchanged` also where local work kept it from being updated; `error` then says so.
        error: why it failed, or was left as it is.
        hint: what to do about it.
        note: what else is worth knowing, e.g. which submodules were left out.
        exit_code: the exit code that this failure stands for, 0 without one.
    """

    repo: str
    path: str | None
    commit: str | None
    status: Literal["cloned", "updated", "unchanged", "failed"]
    error: str | None = None
    hint: str | None = None
    exit_code: int = 0
    note: str | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """The reference as `scaffold clone --json` prints it."""
        return {
            "repo": self.repo,
            "path": self.path,
            "commit": self.commit,
            "status": self.status,
            "error": self.error,
            "note": self.note,
            "exit_code": self.exit_code,
        }


def failed(repo: str, error: ScaffoldError, path: Path | None = None) -> Reference:
    """The reference that an error makes of a repository."""
    place = None if path is None else str(path)
    return Reference(repo, place, None, "failed", error.message, error.hint, error.exit_code)
