"""Runs git commands: a session of their own, time limits, progress, and an end to all of them at once."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scaffold import programs
from scaffold.errors import ScaffoldError
from scaffold.settings import Settings
from scaffold.vcs.environment import FOREIGN_REPOSITORY, configured, environment
from scaffold.vcs.errors import TOOK_TOO_LONG

if TYPE_CHECKING:
    from subprocess import Popen

    from git import Git

Progress = Callable[[str, int, int], None]
"""Called with the phase ("Receiving objects"), how much is done and how much there is."""

_OLDEST_GIT = (2, 31)
_GRACE_SECONDS = 1.0
_KEPT_LINES = 200
_PROGRESS = re.compile(r"(?:remote: )?([A-Z][\w ]+): +\d+% \((\d+)/(\d+)\)")


class GitFailed(Exception):
    """git ended with an error, before it is told in the user's words."""

    def __init__(self, stderr: str) -> None:
        super().__init__(stderr)
        self.stderr = stderr


@cache
def _gitpython() -> type[Git]:
    """GitPython's command class, bound to an absolute path: a `git` in a cloned folder is never run."""
    import shutil

    missing = ScaffoldError(
        "git is not installed",
        hint="install it from https://git-scm.com/downloads or with your system's package manager, then try again",
    )
    chosen = os.environ.get("GIT_PYTHON_GIT_EXECUTABLE")
    path = shutil.which(chosen) if chosen else programs.find("git")
    if path is None:
        raise missing
    # GitPython can add to a child's environment but not take away from it.
    for variable in FOREIGN_REPOSITORY:
        os.environ.pop(variable, None)
    try:
        import git

        git.refresh(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow the wrapper's symlink
    except (ImportError, OSError) as error:
        raise missing from error
    version = git.Git().version_info
    if version < _OLDEST_GIT:
        installed = ".".join(map(str, version))
        raise ScaffoldError(f"git {installed} is too old", hint="install git 2.31 or newer, then try again")
    return git.Git


class Runner:
    """Runs git for one job. Safe to use from several threads.

    Args:
        settings: which server gets the token, and whether plain http is allowed for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings)
        self._lock = threading.Lock()
        self._running: set[Popen[bytes]] = set()
        self.stopped = threading.Event()

    def run(
        self,
        options: Sequence[str],
        operands: Sequence[str] = (),
        *,
        folder: Path | None = None,
        seconds: float,
        on_progress: Progress | None = None,
        extra: Mapping[str, str] | None = None,
        config: Sequence[tuple[str, str]] = (),
        whole: bool = False,
    ) -> str:
        """Run one command to its end.

        Args:
            options: the command and its options; nothing that came from outside stands alone here.
            operands: what follows `--`; paths are absolute.
            folder: the repository to work in.
            seconds: the longest it may take.
            on_progress: called with what the command counts on its stderr.
            extra: further environment variables.
            config: further configuration.
            whole: `stop` lets it come to its end, as half of it would be worse.

        Returns:
            What it printed.

        Raises:
            GitFailed: it ended with an error, or took too long.
        """
        process = self._start([*options, *(["--", *operands] if operands else [])], folder, extra or {}, config)
        if whole:
            self._running.discard(process)
        try:
            with _limited(process, seconds) as late:
                stdout, stderr = _listen(process, on_progress) if on_progress else process.communicate()
        except BaseException:
            _end([process])
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            why = TOOK_TOO_LONG if late.is_set() else f"signal {-process.returncode}" if process.returncode < 0 else ""
            raise GitFailed(f"{stderr.decode('utf-8', 'replace')}\n{why}")
        return stdout.decode("utf-8", "replace")

    def _start(
        self,
        command: Sequence[str],
        folder: Path | None,
        extra: Mapping[str, str],
        config: Sequence[tuple[str, str]],
    ) -> Popen[bytes]:
        git = _gitpython()
        added = {**self._environment, **extra, **(configured(config, self._environment) if config else {})}
        # Never where the user stands: git would obey the configuration of a repository there.
        place = ["-C", str((folder or Path(os.sep)).absolute())]
        if folder is not None:
            # Without a ceiling a damaged clone would make git act on the repository around it.
            added["GIT_CEILING_DIRECTORIES"] = str(folder.absolute().parent)
        with self._lock:
            if self.stopped.is_set():
                raise ScaffoldError("interrupted")
            wrapped = git().execute(
                [str(git.GIT_PYTHON_GIT_EXECUTABLE), *place, *command],
                as_process=True,
                env=added,
                start_new_session=True,
            )
            # GitPython's wrapper ends the process when it is forgotten; this class does that itself.
            process, wrapped.proc = wrapped.proc, None
            assert process is not None
            self._running.add(process)
        return process

    def stop(self) -> None:
        """End every git of this job, and start no further one."""
        with self._lock:
            self.stopped.set()
            running = list(self._running)
        _end(running)


@contextlib.contextmanager
def _limited(process: Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """End a process that takes too long. The event says that it did."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _end([process])

    timer = threading.Timer(seconds, end)
    timer.daemon = True  # Ctrl-C between start and `try` must not keep the interpreter waiting for it
    try:
        timer.start()
        yield late
    finally:
        timer.cancel()


def _listen(process: Popen[bytes], on_progress: Progress) -> tuple[bytes, bytes]:
    """Read a command's stderr to its end, handing on what counts as progress and keeping the rest."""
    stderr = process.stderr
    assert stderr is not None
    kept: deque[bytes] = deque(maxlen=_KEPT_LINES)
    rest = b""
    with process:
        while chunk := os.read(stderr.fileno(), 65536):
            *lines, rest = re.split(rb"[\r\n]", rest[-65536:] + chunk)
            for line in lines:
                if counted := _PROGRESS.match(line.decode("utf-8", "replace")):
                    on_progress(counted[1], int(counted[2]), int(counted[3]))
                else:
                    kept.append(line)
    return b"", b"\n".join([*kept, rest])


def _end(processes: Sequence[Popen[bytes]]) -> None:
    """End processes and what they started: first politely, so that git removes its lock files, then for certain."""
    for process in processes:
        programs.end(process, politely=True)
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        programs.end(process)
        process.wait()
