"""config.toml read into dataclasses, and mistakes told in one line instead of a traceback."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
import time
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

# A thread that waits for another sleeps instead of spinning. Beside a busy program, a small model on two threads then
# trains several times faster. OpenMP reads this once, when torch loads: scripts import this module before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class UserError(Exception):
    """Something that the person at the keyboard can put right; the message says what happened and what to do."""


class ConfigError(UserError):
    """A setting is missing, unknown, of the wrong type or out of range."""


def setting(*, minimum: float = -math.inf, maximum: float = math.inf, choices: tuple[object, ...] = ()) -> Any:
    """A dataclass field whose value `load_config` keeps between two bounds, or among some choices."""
    return dataclasses.field(metadata={"minimum": minimum, "maximum": maximum, "choices": choices})


def load_config(path: Path, schema: type[T]) -> T:
    """Read a TOML file into `schema`, a frozen dataclass with one frozen dataclass per section.

    Every key must be there and none may be unknown. A section's `__post_init__` may raise ValueError for values that
    do not go together. Raises ConfigError, which names the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run this in the project's folder or give --config PATH") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
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
        return _complain(str(error))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = None
        return 0
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130


def _complain(message: str) -> int:
    if os.environ.get("RANK", "0") != "0":  # torchrun's other processes: the first one mostly says the same just now,
        time.sleep(5)  # and torchrun ends the others then
    print(f"error: {message}", file=sys.stderr)
    return 1
