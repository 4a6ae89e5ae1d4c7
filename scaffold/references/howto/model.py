"""What is known of how a repository is run. `None` and empty mean unknown; every fact names the file it was read in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["library", "package", "scripts", "conda", "notebooks", "docker", "unknown"]
Tool = Literal["pip", "uv", "poetry", "pdm", "pipenv", "pixi", "conda", "docker", "readme"]
MemoryKind = Literal["gpu", "main"]
Fit = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Command:
    """One line fit to be pasted in the repository's folder.

    Attributes:
        text: the line, without prompt and control characters.
        source: the file that says so, relative to the folder.
        about: what it is for, where the file tells.
    """

    text: str
    source: str
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way to install it.

    Attributes:
        tool: who does the work; `readme` where the lines are only quoted.
        commands: what to type, in this order.
        source: the file that declares this way.
        pip: arguments for `python -m pip`, one tuple a run, where pip alone can do it.
    """

    tool: Tool
    commands: tuple[Command, ...]
    source: str
    pip: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A script in the top folder that is meant to be started.

    Attributes:
        command: how it is started, with its required arguments as `NAME`.
        required: its required arguments as they are written, in their order.
        options: whether it takes further arguments.
    """

    path: str
    command: str
    required: tuple[str, ...] = ()
    options: bool = False


@dataclass(frozen=True, slots=True)
class Notebook:
    """A Jupyter notebook; `language` is the kernel's, `colab` whether it was made for Google Colab, `gpu` with one."""

    path: str
    language: str | None = None
    colab: bool = False
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class PythonWanted:
    """Which Python it wants.

    Attributes:
        wanted: a specifier such as `>=3.9`.
        source: the file that says so.
        enforced: whether pip refuses any other.
        fits: whether this Python is one of them.
    """

    wanted: str | None = None
    source: str | None = None
    enforced: bool = False
    fits: bool | None = None


@dataclass(frozen=True, slots=True)
class Framework:
    """A library that it builds on; `wanted` is the specifier it declares, `None` where it only imports it."""

    name: str
    wanted: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is thought, and the file that says so."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class MemoryHint:
    """Memory that its README names, in bytes: the smallest and the largest figure of one sentence or table."""

    kind: MemoryKind
    least_bytes: int
    most_bytes: int
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class HardwareNeeds:
    """What it asks of a machine.

    Attributes:
        needs_cuda: `True` it can't do without, `False` it says that it can, `None` unknown.
        expects_cuda: it is set for CUDA unless it is told otherwise.
        reasons: what that was read from.
        memory: what its README says of memory.
        fits: whether the machine at hand is enough.
        why: the sentence that belongs to `fits`.
    """

    needs_cuda: bool | None = None
    expects_cuda: bool = False
    reasons: tuple[Reason, ...] = ()
    memory: tuple[MemoryHint, ...] = ()
    fits: Fit = "unknown"
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to know before it is installed or run. `kind` is a word for programs, `text` a sentence for people."""

    kind: str
    text: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was there and was not read, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class HowTo:
    """How a repository is run, as far as its own files say.

    Attributes:
        name: what it calls itself as a distribution. Not a promise that PyPI has it.
        install: the way it declares for itself; `None` where nothing tells.
        alternatives: further ways, the quoted lines of its README last.
        usage: what to type once it is installed, the best few.
        example: lines of Python from its README.
    """

    kind: Kind = "unknown"
    name: str | None = None
    install: Way | None = None
    alternatives: tuple[Way, ...] = ()
    usage: tuple[Command, ...] = ()
    example: tuple[str, ...] = ()
    scripts: tuple[Script, ...] = ()
    notebooks: tuple[Notebook, ...] = ()
    python: PythonWanted = field(default_factory=PythonWanted)
    frameworks: tuple[Framework, ...] = ()
    hardware: HardwareNeeds = field(default_factory=HardwareNeeds)
    flags: tuple[Flag, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON document, with the field names as keys."""
        document = _plain(asdict(self))
        assert isinstance(document, dict)
        return document


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
