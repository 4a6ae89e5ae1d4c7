"""From a template's name to a project on the disk: plan, render, write. What `new` and `start` both do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaffold import programs
from scaffold.errors import ScaffoldError
from scaffold.hardware.machine import Machine
from scaffold.projects import provenance
from scaffold.projects.generate import check_destination, write_project
from scaffold.projects.plan import Plan, make_plan
from scaffold.projects.render import render
from scaffold.projects.template import Template
from scaffold.staging import remove

_FIRST_COMMIT = "Start from scaffold's {name} template"


@dataclass(frozen=True)
class Created:
    """A generated project, or with a dry run what would be generated.

    Attributes:
        project: the folder.
        files: paths relative to it.
        next: commands to type, in order.
        notices: what a person should know, e.g. that git is missing.
    """

    project: Path
    template: str
    files: tuple[str, ...]
    plan: Plan
    next: tuple[str, ...]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The `new` document of the JSON contract."""
        return {
            "project": str(self.project),
            "template": self.template,
            "files": list(self.files),
            "plan": self.plan.to_json(),
            "next": list(self.next),
            "notices": list(self.notices),
        }


@dataclass(frozen=True)
class Choices:
    """What the user chose for a project."""

    target: str = "auto"
    set: Mapping[str, str] | None = None
    language: str = "en"
    dry_run: bool = False
    force: bool = False
    git: bool = True
    nodes: int = 1


def create(
    template: Template,
    destination: Path,
    machine: Machine,
    references: Sequence[Mapping[str, Any]],
    choices: Choices | None = None,
) -> Created:
    """Generate a project.

    Args:
        template: the starter.
        destination: the folder to make.
        machine: what the settings must fit.
        references: repositories for the README: repo, url, description, license.
        choices: the user's.

    Raises:
        UsageError: if the destination is not free or a setting is wrong.
        ScaffoldError: if no torch build fits the machine, or the disk refuses.
    """
    choices = choices or Choices()
    chosen = dict(choices.set or {})
    check_destination(destination, force=choices.force)
    plan = make_plan(template, machine, choices.target, chosen, nodes=choices.nodes)
    name = Path(os.path.abspath(destination)).name  # noqa: PTH100 - `.` has a name too, and links stay as typed
    files = render(template, plan, name=name, language=choices.language, references=references)
    files[provenance.FILE] = provenance.provenance(template, plan, files, language=choices.language, chosen=chosen)
    notices = list(plan.notes)
    if not choices.dry_run:
        notices += _write(destination, files, template.name, choices)
    return Created(
        project=destination,
        template=template.name,
        files=tuple(sorted(files)),
        plan=plan,
        next=next_commands(template, destination, plan, windows=machine.os == "windows"),
        notices=tuple(notices),
    )


def _write(destination: Path, files: Mapping[str, bytes], template: str, choices: Choices) -> list[str]:
    notices: list[str] = []

    def commit(project: Path) -> None:
        from scaffold import vcs

        try:
            vcs.init_and_commit(project, _FIRST_COMMIT.format(name=template))
        except ScaffoldError as error:
            # A project without git is still a project.
            notices.append(f"No git repository was made: {error.message}. {error.hint or ''}".strip())
            remove(project / ".git")

    write_project(destination, files, force=choices.force, finish=commit if choices.git else None)
    return notices


def next_commands(template: Template, destination: Path, plan: Plan, *, windows: bool) -> tuple[str, ...]:
    """What to type after the project is there: install in two steps, then run."""
    python = ".venv\\Scripts\\python" if windows else ".venv/bin/python"
    python_for = {"python": f"{python} ", "torchrun": f"{python} -m torch.distributed.run "}
    folder = programs.quoted(str(destination), windows=windows)
    commands = [f"cd {folder}", f"{programs.python(windows=windows)} -m venv .venv"]
    if template.torch:
        index = f" --index-url {plan.torch.index_url}" if plan.torch.index_url else ""
        commands.append(f'{python} -m pip install "{plan.torch.requirement}"{index}')
    commands.append(f"{python} -m pip install -r requirements.txt")
    many = (plan.launch or "").startswith("torchrun ")
    for command in template.run:
        typed = plan.launch if many and plan.launch and command.startswith("python train.py") else command
        commands.append(re.sub("^(python|torchrun) ", lambda word: python_for[word[1]], typed))
    return tuple(commands)
