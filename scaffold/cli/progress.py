"""How far clones are: bars at a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from scaffold.cli.interrupts import undivided
from scaffold.cli.output import Output, clean
from scaffold.references.reference import Reference

Progress = tuple[
    Callable[[str, str, int, int], None] | None, Callable[[Reference], None], Callable[[str, str, float], None]
]

_REDRAWN_SECONDS = 0.1


@contextlib.contextmanager
def progress(output: Output, total: int | None = 1) -> Iterator[Progress]:
    """What to call on progress, at an end and before a further try: bars on stderr at a terminal, else lines.

    Args:
        output: where the lines go.
        total: how many repositories are to come; None where that is not known.
    """

    def retrying(repo: str, reason: str, pause: float) -> str:
        return f"{reason if repo in reason else f'{repo}: {reason}'}; trying again in {pause:.0f} s"

    if not sys.stderr.isatty():
        yield (
            None,
            lambda reference: output.note(f"{reference.repo}: {reference.status}"),
            lambda *words: output.note(retrying(*words)),
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (TextColumn("{task.fields[repo]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    # Threads report at will: two that draw at once leave half a bar on the screen, so one draws at a time.
    drawing = threading.Lock()
    with Bars(*columns, console=console, transient=True, auto_refresh=False) as bars:
        tasks: dict[str, Any] = {}
        drawn = 0.0
        # From the beginning: a server may say nothing for a while.
        everything = bars.add_task("asking", total=total, repo="repositories")
        bars.refresh()

        def on_progress(repo: str, phase: str, count: int, total: int) -> None:
            nonlocal drawn
            with drawing:
                if repo not in tasks:
                    tasks[repo] = bars.add_task(phase, repo=repo)
                bars.update(everything, description="")
                bars.update(tasks[repo], description=phase, completed=count, total=total)
                if (now := time.monotonic()) - drawn > _REDRAWN_SECONDS:
                    drawn = now
                    bars.refresh()

        def on_done(reference: Reference) -> None:
            with undivided(), drawing:
                if reference.repo in tasks:
                    bars.remove_task(tasks.pop(reference.repo))
                bars.advance(everything)
                console.print(clean(f"{reference.repo}: {reference.status}"))
                bars.refresh()

        def on_retry(repo: str, reason: str, pause: float) -> None:
            with undivided(), drawing:
                console.print(clean(retrying(repo, reason, pause)))

        yield on_progress, on_done, on_retry
