"""Fetching one list: its README, wherever that lies, and the texts it links to, asked conditionally."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaffold.discovery.awesome import ParsedList, parse_readme
from scaffold.discovery.store import MISSING, StoredFile
from scaffold.errors import NotFoundError, RateLimitError, ScaffoldError
from scaffold.github.deadline import Deadline
from scaffold.github.errors import NetworkError
from scaffold.repository import parse_name

if TYPE_CHECKING:
    from scaffold.github.raw import RawFiles

# In the order of how usual they are.
_READMES = ("README.md", "readme.md", "Readme.md", "README.rst", "README.markdown", "README", "docs/README.md")
_SECONDS = 30.0
_MAX_TOTAL = 12_000_000
_IN_VAIN = 8  # lists without any answer: then there is no network, and the rest need not wait for it


@dataclass(frozen=True, slots=True)
class Fetched:
    """A list as it is now.

    Attributes:
        repo: its name now.
        files: its texts, the README first; None where nothing has changed.
        main: the README, where it had to be parsed to know them.
    """

    repo: str
    files: tuple[StoredFile, ...] | None
    main: ParsedList | None = None


class ListFetcher:
    """Fetches lists, from several threads at once.

    After a rate limit, or where no list at all has been answered, nothing more is asked.
    """

    def __init__(self, raw: RawFiles, *, seconds: float = _SECONDS) -> None:
        self._raw = raw
        self._seconds = seconds
        self._stopped = threading.Event()
        self._end: ScaffoldError | None = None
        self._answered = False
        self._in_vain = 0

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopped.set()

    def fetch(self, repo: str, known: Sequence[StoredFile]) -> Fetched:
        """A list's texts, or that they are those already known.

        Raises:
            NotFoundError: there is no such repository, or it has no README.
            ScaffoldError: of the family, for whatever else goes wrong.
        """
        parse_name(repo)
        deadline = Deadline.after(self._seconds)
        try:
            return self._fetch(repo, known, deadline)
        except RateLimitError as error:
            self._end = error
            raise
        except NetworkError as error:
            self._in_vain += 1
            if not self._answered and self._in_vain >= _IN_VAIN:
                self._end = error
            raise

    def readme(self, repo: str) -> StoredFile:
        """A repository's README alone.

        Raises:
            NotFoundError: it has none, or there is no such repository.
            ScaffoldError: of the family, for whatever else goes wrong.
        """
        main, _ = self._main(repo, _READMES, (), Deadline.after(self._seconds))
        if main is None:
            raise NotFoundError(f"{repo} has no README that could be found", hint="Check the spelling.")
        return main

    def _fetch(self, repo: str, known: Sequence[StoredFile], deadline: Deadline) -> Fetched:
        paths = (known[0].path,) if known else _READMES
        main, now = self._main(repo, paths, known, deadline)
        if main is None and known:  # the README was renamed
            others = [path for path in _READMES if path != known[0].path]
            main, now = self._main(repo, others, (), deadline)
        if main is None:
            raise NotFoundError(f"{repo} was not found, or has no README", hint="Check the spelling.")
        kept = {file.path: file for file in known}
        changed = main is not kept.get(main.path)
        parsed = None
        if changed:
            parsed = parse_readme(main.content, repo=now, path=main.path)
            wanted = parsed.files
        else:
            wanted = tuple(file.path for file in known[1:])
        files = [main]
        total = len(main.content)
        for path in wanted:
            before = kept.get(path)
            if before and before.missing and not changed:
                files.append(before)
                continue
            file, _ = self._one(now, path, before, deadline)
            changed = changed or file is not before
            total += len(file.content)
            if total > _MAX_TOTAL:
                break
            files.append(file)
        return Fetched(now, tuple(files) if changed else None, parsed)

    def _main(
        self, repo: str, paths: Sequence[str], known: Sequence[StoredFile], deadline: Deadline
    ) -> tuple[StoredFile | None, str]:
        for path in paths:
            before = known[0] if known else None
            file, now = self._one(repo, path, before, deadline)
            if not file.missing:
                return file, now
        return None, repo

    def _one(self, repo: str, path: str, before: StoredFile | None, deadline: Deadline) -> tuple[StoredFile, str]:
        """One file and the repository's name now: the very object that was known, where it has not changed."""
        if self._end:
            raise self._end
        if self._stopped.is_set():
            raise ScaffoldError("stopped before it was asked for")
        etag = before.etag if before and not before.missing else None
        raw = self._raw.fetch(repo, path, etag=etag, deadline=deadline)
        self._answered = True
        parse_name(raw.repo)  # a redirect's words are the server's
        if raw.status == "missing":
            return StoredFile(path, b"", MISSING), raw.repo
        if before and (raw.status == "unchanged" or (raw.content == before.content and raw.etag == before.etag)):
            return before, raw.repo
        return StoredFile(path, raw.content, raw.etag), raw.repo
