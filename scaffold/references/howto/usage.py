"""What to type once it is installed: its own commands, what its README says, its Makefile's targets."""

from __future__ import annotations

import re

from scaffold.references.howto.declared import Declared
from scaffold.references.howto.files import Folder, plain
from scaffold.references.howto.model import Command

_MAX_USAGE = 12
_MAX_CONSOLE = 4
_MAX_TARGETS = 6
_TARGET = re.compile(r"^([A-Za-z][\w.-]{0,40})[ \t]*:(?![=:])[^#\n]{0,400}(?:##?[ \t]*([^\n]{1,200}))?$", re.MULTILINE)
_TARGETS = (
    "help",
    "install",
    "setup",
    "run",
    "start",
    "serve",
    "demo",
    "train",
    "infer",
    "predict",
    "evaluate",
    "test",
)
_MODULE = re.compile(r"[A-Za-z_]\w{0,60}")


def find_usage(folder: Folder, declared: Declared, said: list[Command]) -> tuple[Command, ...]:
    """The best few commands: the README's own lines first, each command once."""
    console = [Command(f"{name} --help", source) for name, source in list(declared.commands.items())[:_MAX_CONSOLE]]
    # A command that the README shows at work needs no introduction.
    shown = {command.text.split()[0] for command in said}
    console = [command for command in console if command.text.split()[0] not in shown]
    return tuple([*said, *console, *_modules(folder, said), *make_targets(folder)][:_MAX_USAGE])


def _modules(folder: Folder, said: list[Command]) -> list[Command]:
    found = []
    for prefix in ("", "src/"):
        for name in folder.folders(prefix.rstrip("/")):
            path = f"{prefix}{name}"
            is_package = _MODULE.fullmatch(name) and folder.has(f"{path}/__init__.py")
            if is_package and folder.has(f"{path}/__main__.py"):
                found.append(Command(f"python -m {name}", f"{path}/__main__.py"))
    return [command for command in found[:2] if not any(command.text in other.text for other in said)]


def make_targets(folder: Folder) -> list[Command]:
    """The Makefile's targets of the usual names, in the order in which they are used."""
    path = folder.find("Makefile", "GNUmakefile")
    text = folder.text(path, 200_000) if path else None
    if not path or not text:
        return []
    targets = {match[1]: match[2] for match in _TARGET.finditer(text)}
    found = [
        Command(f"make {name}", path, plain(targets[name], 80) or None if targets[name] else None)
        for name in _TARGETS
        if name in targets
    ]
    return found[:_MAX_TARGETS]
