"""config.toml read into dataclasses, and mistakes told in one line instead of a traceback."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import math
import os
import sys
import time
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
BEGUN = time.monotonic()  # of this process, nearly: scripts import this module first

# A thread that waits for another sleeps instead of spinning. Beside a busy program, a small model on two threads then
# trains several times faster. OpenMP reads this once, when torch loads: scripts import this module before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What scripts import before their main() can tell what is missing.
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pandas", "sklearn", "skops", "matplotlib")


class UserError(Exception):
    """Something that the person at the keyboard can put right; the message says what happened and what to do."""


class ConfigError(UserError):
    """A setting is missing, unknown, of the wrong type or out of range."""


class DivergedError(UserError):
    """The loss of a training is not a number any more."""


class LostError(UserError):
    """Another of several processes is gone."""


def setting(*, minimum: float = -math.inf, maximum: float = math.inf, choices: tuple[object, ...] = ()) -> Any:
    """A dataclass field whose value `load_config` keeps between two bounds, or among some choices."""
    return dataclasses.field(metadata={"minimum": minimum, "maximum": maximum, "choices": choices})


def load_config(path: Path, schema: type[T]) -> T:
    """Read a TOML file into `schema`, a frozen dataclass with one frozen dataclass per section.

    Every key must be there and none may be unknown. A section's `__post_init__` may raise ValueError for values that
    do not go together. Raises ConfigError, which names the key.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run this in the project's folder or give --config PATH") from None
    except ValueError as error:
        advice = "; in a path write / for each \\" if "\\" in text else ""
        raise ConfigError(f"{path} is not valid TOML: {error}{advice}") from None
    sections = typing.get_type_hints(schema)
    _check_names(document, sections, "section ")
    return schema(**{name: _section(name, document[name], kind) for name, kind in sections.items()})


def _section(name: str, values: object, schema: type[Any]) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{name} must be a section, written [{name}]")
    kinds = typing.get_type_hints(schema)
    _check_names(values, kinds, f"{name}.")
    limits = {field.name: field.metadata for field in dataclasses.fields(schema)}
    checked = {key: _value(f"{name}.{key}", values[key], kinds[key], limits[key]) for key in kinds}
    try:
        return schema(**checked)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _check_names(found: Iterable[str], known: Iterable[str], prefix: str) -> None:
    for name in sorted(set(found) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0)
        raise ConfigError(f"unknown {prefix}{name}; the nearest known name is {prefix}{near[0]}")
    for name in sorted(set(known) - set(found)):
        raise ConfigError(f"{prefix}{name} is missing")


def _value(name: str, value: Any, kind: type[Any], limits: Mapping[str, Any]) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # not isinstance: to Python, true is an int
        raise ConfigError(f"{name} must be of type {kind.__name__}, not {type(value).__name__} ({value!r})")
    low, high, choices = limits.get("minimum", -math.inf), limits.get("maximum", math.inf), limits.get("choices")
    if kind in (int, float) and not low <= value <= high:
        bounds = [f"at least {low}"] * (low > -math.inf) + [f"at most {high}"] * (high < math.inf)
        raise ConfigError(f"{name} must be {' and '.join(bounds) or 'a number'}, not {value}")
    if choices and value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, choices))}, not {value}")
    return value


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python shows of an error that nobody caught: nothing of Ctrl-C, which often comes while libraries load."""
    if isinstance(error, ModuleNotFoundError) and error.name in LIBRARIES:
        print(f"error: {error.name} is not installed for {sys.executable}; README.md says how to", file=sys.stderr)
    elif not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _show


def main_guard(main: Callable[[], int | None]) -> NoReturn:
    """Run a script's main() and exit with its code; mistakes and missing files are one line, Ctrl-C is code 130."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # a Windows pipe would be read in the local code page
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    code = _run(main)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # One of several processes under torchrun: while Python takes itself down, threads of torch's that still wait
        # for the others can abort it ("terminate called without an active exception"), and with it a job that is done.
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _run(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except UserError as error:
        return _complain(str(error), lost=isinstance(error, LostError))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = None
        return 0
    except OSError as error:
        if not error.filename and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _complain(f"no room to write ({error.strerror}); make some. What was saved before is whole")
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:  # torch's own kinds are RuntimeErrors
        if not is_about_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        return _complain(f"not enough memory; make the model, the batch or the data smaller ({reason})")
    except KeyboardInterrupt:
        return 130


def is_about_memory(error: Exception) -> bool:
    """Whether memory is too small, the computer's or a device's."""
    signs = ("out of memory", "can't allocate memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def _complain(message: str, *, lost: bool = False) -> int:
    rank, on_this_machine = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK"))
    time.sleep(_seconds_to_wait(rank, on_this_machine, lost=lost))
    print(f"error: {message}", file=sys.stderr)
    return 1


def _seconds_to_wait(rank: str, on_this_machine: str, *, lost: bool) -> int:
    """torchrun's first process mostly says the same just now, and torchrun then ends the others before they do.

    So it is on each node, where the first process waits for that of the first node. Of a process that was lost the
    second one tells at once as well: it may be the first that was.
    """
    if lost and rank == "1":
        return 0
    return 5 * (rank != "0") + 3 * (on_this_machine not in ("0", rank))
