"""After a clone: how what was brought is run, and its environment where the user asked for one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaffold.cli.howto import read_reference, show_howto
from scaffold.cli.output import Output
from scaffold.errors import ScaffoldError
from scaffold.programs import WINDOWS, quoted
from scaffold.references.reference import Reference

if TYPE_CHECKING:
    from scaffold.references.howto import Environment, HowTo

# Of pip's lines those that say how far it is.
_TOLD = ("Collecting ", "Downloading ", "Installing collected ", "Successfully installed ")


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What is known of a reference once it is here. None where it is not, or was not asked for."""

    folder: Path | None = None
    howto: HowTo | None = None
    environment: Environment | None = None
    error: ScaffoldError | None = None

    def to_json(self) -> dict[str, Any]:
        """What is added to the reference's document."""
        return {
            "howto": self.howto.to_json() if self.howto else None,
            "env": None if self.environment is None else str(self.environment.path),
            "env_error": None if self.error is None else self.error.message,
        }

    def show(self, output: Output) -> None:
        """How it is run, for people."""
        if self.howto is not None and self.folder is not None:
            show_howto(output, self.howto, self.folder)
        if self.environment is not None and self.folder is not None:
            name = self.environment.path.name
            activate = rf"{name}\Scripts\activate" if WINDOWS else f". {name}/bin/activate"
            output.next_steps([f"cd {quoted(str(self.folder))}", activate], "Installed: begin with")


class Readings:
    """How references are run, each read when it is here: the network has the others underway meanwhile.

    Attributes:
        ended: the references so far, also after an interrupt.
    """

    def __init__(self) -> None:
        self.ended: list[Reference] = []
        self._read: dict[str, HowTo | None] = {}

    def read(self, reference: Reference) -> None:
        """Note and read one that has just ended."""
        self.ended.append(reference)
        # Whatever is wrong with one reference must not end the other clones; `of` meets it again, after them.
        with contextlib.suppress(Exception):
            self.of(reference)

    def of(self, reference: Reference) -> HowTo | None:
        """What was read of a reference, or is read now. None where it is not here."""
        if reference.status == "failed" or reference.path is None:
            return None
        if reference.path not in self._read:
            self._read[reference.path] = read_reference(Path(reference.path))
        return self._read[reference.path]


def look_at(reference: Reference, readings: Readings, *, env: bool, output: Output) -> Aftermath:
    """Tell how a reference is run, and install it where that is wanted; what goes wrong there is said at once."""
    if reference.status == "failed" or reference.path is None:
        return Aftermath()
    folder = Path(reference.path)
    howto = readings.of(reference)
    if howto is None or not env:
        return Aftermath(folder, howto)
    from scaffold.references.howto import make_environment

    output.note(f"{reference.repo}: making its environment; this runs code of the repository")

    def on_progress(line: str) -> None:
        if line.startswith(_TOLD):
            output.note(f"  {line}")

    try:
        environment = make_environment(folder, howto, on_progress=on_progress)
    except ScaffoldError as error:
        output.error(error)
        return Aftermath(folder, howto, error=error)
    output.note(f"{reference.repo}: installed into {environment.path}")
    return Aftermath(folder, howto, environment)
