"""`scaffold sync`: the entries of awesome lists into the index."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.output import Output, clean, output_options
from scaffold.errors import NotFoundError, PartialError, ScaffoldError, UsageError

if TYPE_CHECKING:
    from scaffold.discovery.store import ListStore
    from scaffold.discovery.sync import SyncResult

_SHOWN_FAILURES = 20


@click.command(
    epilog="Examples:  scaffold sync   ·   scaffold sync keon/awesome-nlp   ·   scaffold sync --search robotics"
)
@click.argument("repositories", metavar="[OWNER/NAME…]", nargs=-1)
@click.option(
    "--from", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Local lists: DIR/owner/name/README*."
)
@click.option("--search", "query", metavar="QUERY", help="The lists that a search finds.")
@click.option(
    "--top", metavar="N", type=click.IntRange(1, 100), default=10, show_default=True, help="How many of them."
)
@click.option("--jobs", metavar="N", type=click.IntRange(1, 32), default=8, show_default=True, help="How many at once.")
@output_options
@click.pass_obj
def command(
    output: Output, repositories: tuple[str, ...], folder: Path | None, query: str | None, top: int, jobs: int
) -> int:
    """Bring the entries of awesome lists into the index, so that search looks inside them.

    Without a name: the catalog's lists and those that were synced before.
    """
    results: list[SyncResult] = []
    notices: list[str] = []
    totals: dict[str, int] = {}
    try:
        if folder is not None and (repositories or query):
            raise UsageError("--from takes its lists from the folder: it goes with no names and no --search")
        with _opened(output, notices) as store:
            if folder is not None:
                results = _local(output, store, folder)
            else:
                results = _remote(output, store, _wanted(output, store, repositories, query, top), jobs)
            totals = store.totals()
    except KeyboardInterrupt:
        _build_index(output)
        output.note("What had come was kept; `scaffold sync` goes on with the rest.")
        raise
    except ScaffoldError as error:
        if output.as_json:
            output.emit(_document([], {}, [*notices, error.message]), lambda: None)
        raise
    _build_index(output)
    output.emit(_document(results, totals, notices), lambda: _show(output, results, totals))
    _explain(output, results)
    return _exit_code(results)


def sync_found(output: Output, repositories: Sequence[str]) -> list[SyncResult]:
    """Sync lists that another command found, and have the index know them."""
    with _opened(output, []) as store:
        results = _remote(output, store, list(repositories), 8)
    _build_index(output)
    _explain(output, results)
    return results


@contextlib.contextmanager
def _opened(output: Output, notices: list[str]) -> Iterator[ListStore]:
    from scaffold import paths
    from scaffold.discovery.store import ListStore

    with ListStore.open(paths.lists_path()) as store:
        if store.notice:
            notices.append(store.notice)
            output.note(store.notice)
        yield store


def _wanted(output: Output, store: ListStore, repositories: Sequence[str], query: str | None, top: int) -> list[str]:
    from scaffold.discovery.index import open_index
    from scaffold.repository import parse_name

    wanted = [str(parse_name(text)) for text in repositories]
    if query is not None:
        from scaffold.cli.search import searched
        from scaffold.discovery.search import Filters

        result = searched(output, query, Filters(kind="list"), limit=top)
        wanted += [hit.repo for hit in result.hits]
        if not wanted:
            raise NotFoundError(f"no list was found for “{query}”", hint=" ".join(result.notices))
    if not wanted:
        index = open_index()
        rows = index.execute("SELECT repo FROM documents WHERE kind = 'list' AND grade IS NOT NULL ORDER BY id")
        wanted = [row["repo"] for row in rows] + store.list_names()
    return list({name.casefold(): name for name in wanted}.values())


def _local(output: Output, store: ListStore, folder: Path) -> list[SyncResult]:
    from scaffold.discovery.sync import sync_local

    with _progress(output) as progress:
        return sync_local(store, folder, progress)


def _remote(output: Output, store: ListStore, repositories: list[str], jobs: int) -> list[SyncResult]:
    from scaffold.discovery.fetch import ListFetcher
    from scaffold.discovery.sync import sync_remote
    from scaffold.github.raw import RawFiles
    from scaffold.settings import load_settings

    fetcher = ListFetcher(RawFiles(load_settings()))
    with _progress(output) as progress:
        return sync_remote(store, repositories, fetcher, jobs=jobs, progress=progress)


def _build_index(output: Output) -> None:
    """Now, so that the next search need not wait for it."""
    from scaffold.discovery.index import open_index

    open_index(building=lambda: output.note("Building the index …")).close()


def _document(results: Sequence[SyncResult], totals: dict[str, int], notices: Sequence[str]) -> dict[str, Any]:
    return {"lists": [result.to_json() for result in results], "totals": totals, "notices": list(notices)}


def _show(output: Output, results: Sequence[SyncResult], totals: dict[str, int]) -> None:
    counts = dict.fromkeys(("synced", "updated", "unchanged", "failed"), 0)
    for result in results:
        counts[result.status] += 1
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    output.line(f"{len(results)} lists: {words}.")
    output.line(
        f"The index holds {totals['entries']:,} entries of {totals['lists']:,} lists,"
        f" {totals['repositories']:,} repositories among them."
    )
    output.next_steps(["scaffold search nlp"])


def _explain(output: Output, results: Sequence[SyncResult]) -> None:
    """Why lists failed, and what else is to be known of them, on stderr."""
    failures = [result for result in results if result.status == "failed"]
    for result in failures[:_SHOWN_FAILURES]:
        text = result.error or ""
        hint = result.failure.hint if result.failure else None
        output.error(ScaffoldError(text if result.repo in text else f"{result.repo}: {text}", hint=hint))
    if len(failures) > _SHOWN_FAILURES:
        output.note(f"… and {len(failures) - _SHOWN_FAILURES} more.")
    for result in results:
        if result.status != "failed" and result.error:
            output.note(f"{result.repo}: {result.error}")


def _exit_code(results: Sequence[SyncResult]) -> int:
    """0 where all went well, 7 where some failed, 1 where all did; of the only one, its reason's own code."""
    failures = [result.failure for result in results if result.failure]
    if not failures:
        return 0
    if len(failures) < len(results):
        return PartialError.exit_code
    return failures[0].exit_code if len(failures) == 1 else ScaffoldError.exit_code


@contextlib.contextmanager
def _progress(output: Output) -> Iterator[Callable[[SyncResult, int, int], None] | None]:
    """A bar on stderr at a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    with Bars(
        BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console, transient=True
    ) as bars:
        task = bars.add_task("asking for the lists", total=None)

        def on_progress(result: SyncResult, done: int, total: int) -> None:
            bars.update(task, description=clean(f"{result.repo}: {result.status}"), completed=done, total=total)

        yield on_progress
