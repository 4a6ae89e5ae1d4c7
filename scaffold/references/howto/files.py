"""A repository's files, read with bounds: a hostile one costs no more than a decent one, and nothing leads outside."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
import unicodedata
from itertools import islice
from pathlib import Path
from typing import Any

from scaffold.references.howto.model import Skipped

MAX_BYTES = 1_000_000
_MAX_TOML = 256_000
_MAX_YAML = 64_000
_MAX_TOTAL = 32_000_000
_MAX_NAMES = 300_000
_MAX_SKIPPED = 20
_YAML_DEPTH = 40
_TOML_DOTS = 200
_USUAL = re.compile(r"[A-Za-z0-9_.-]+")


def plain(text: str, limit: int = 500) -> str:
    """One line of a repository's text: no control, format or surrogate characters, single spaces, not too long."""
    text = text[: 4 * limit]
    if not (text.isascii() and text.isprintable()):
        kept = (" " if char in "\t\r\n" else char for char in text)
        text = "".join(char for char in kept if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    return " ".join(text.split())[:limit]


def is_plain(name: str) -> bool:
    """Whether a file's name can be shown and pasted as it is (quoted for a shell where it has to be)."""
    return len(name) <= 200 and (_USUAL.fullmatch(name) is not None or (bool(name) and name == plain(name)))


class Folder:
    """The files of a repository. What is there and can't be read is noted in `skipped`.

    Args:
        root: the repository's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._skipped: dict[str, str] = {}
        self._names: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._left = _MAX_TOTAL

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was not read, by name; only the first ones where there are many."""
        first = islice(sorted(self._skipped.items()), _MAX_SKIPPED)
        return tuple(Skipped(path, reason) for path, reason in first)

    def skip(self, path: str, reason: str) -> None:
        """Note that a file was not understood."""
        self._skipped.setdefault(plain(path), plain(reason, 160))

    def files(self, folder: str = "") -> tuple[str, ...]:
        """The names of the files in a folder of the repository, sorted; symlinks among them."""
        return self._listed(folder)[0]

    def folders(self, folder: str = "") -> tuple[str, ...]:
        """The names of the folders in a folder of the repository, sorted."""
        return self._listed(folder)[1]

    def find(self, *names: str) -> str | None:
        """The first of some names that is a file in the top folder, in whatever case it is written there."""
        by_key = {name.casefold(): name for name in reversed(self.files())}
        return next((by_key[name.casefold()] for name in names if name.casefold() in by_key), None)

    def has(self, path: str) -> bool:
        """Whether a path is a file of the repository."""
        folder, _, name = path.rpartition("/")
        return name in self.files(folder)

    def text(self, path: str, limit: int = MAX_BYTES) -> str | None:
        """A text file's content; `None` where it can't be read.

        Args:
            path: relative to the repository, with `/`.
            limit: bytes it may have.
        """
        content = self._content(path, limit)
        if content is None:
            return None
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = content.decode("utf-16", "replace")
        else:
            text = content.decode("utf-8-sig", "replace")
        if "\0" in text:
            self.skip(path, "not a text file")
            return None
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def head(self, path: str, size: int) -> bytes:
        """A file's first bytes, none where it can't be read."""
        inside = self._inside(path)
        if inside is None:
            return b""
        try:
            with open(inside, "rb", opener=_opener) as file:
                return file.read(size)
        except OSError:
            return b""

    def toml(self, path: str) -> dict[str, Any] | None:
        """A TOML file's tables; `None` where there are none to be had."""
        text = self.text(path, _MAX_TOML) if self.has(path) else None
        if text is None:
            return None
        # The parser's time and memory grow with the square of a key's dots.
        if any(line.count(".") > _TOML_DOTS for line in text.split("\n")):
            self.skip(path, "its keys are nested too deeply")
            return None
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            self.skip(path, f"not valid TOML: {_first_line(error)}")
            return None

    def yaml(self, path: str) -> Any:
        """A YAML file's content; `None` where there is none to be had."""
        text = self.text(path, _MAX_YAML)
        if text is None:
            return None
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            # The C loader's stack overflows on deep nesting, and aliases multiply: neither belongs in such a file.
            depth = 0
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > _YAML_DEPTH or isinstance(event, yaml.AliasEvent):
                    self.skip(path, "nested too deeply, or with aliases")
                    return None
            return yaml.load(text, Loader=loader)
        except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
            self.skip(path, f"not valid YAML: {_first_line(error)}")
            return None

    def json(self, path: str, limit: int = MAX_BYTES) -> Any:
        """A JSON file's content; `None` where there is none to be had."""
        text = self.text(path, limit)
        if text is None:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            self.skip(path, f"not valid JSON: {_first_line(error)}")
            return None

    def _content(self, path: str, limit: int) -> bytes | None:
        inside = self._inside(path)
        if inside is None:
            return None
        limit = min(limit, self._left)
        try:
            with open(inside, "rb", opener=_opener) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    self.skip(path, "not a regular file")
                    return None
                content = file.read(limit + 1)
        except OSError as error:
            self.skip(path, error.strerror or type(error).__name__)
            return None
        if len(content) > limit:
            self.skip(path, f"larger than {limit // 1000} kB")
            return None
        self._left -= len(content)
        return content

    def _inside(self, path: str) -> Path | None:
        try:
            place = (self.root / path).resolve(strict=True)
            inside = place.is_relative_to(self.root) and ".git" not in place.relative_to(self.root).parts
        except (OSError, RuntimeError, ValueError):
            self.skip(path, "a broken link")
            return None
        if not inside:
            self.skip(path, "leads out of the repository")
            return None
        return place

    def _listed(self, folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if folder not in self._names:
            self._names[folder] = self._scan(folder)
        return self._names[folder]

    def _scan(self, folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        files: list[str] = []
        folders: list[str] = []
        try:
            place = (self.root / folder).resolve(strict=True)
            if not place.is_relative_to(self.root):
                return (), ()
            with os.scandir(place) as entries:
                for entry in islice(entries, _MAX_NAMES):
                    if is_plain(entry.name):
                        (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        except (OSError, RuntimeError, ValueError):
            return (), ()
        return tuple(sorted(files)), tuple(sorted(folders))


def _opener(path: str, flags: int) -> int:
    # A pipe would wait for somebody to write into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
