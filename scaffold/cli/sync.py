"""`scaffold sync`: the entries of awesome lists into the index."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.output import Output, clean, output_options
from scaffold.errors import NotFoundError, PartialError, ScaffoldError, UsageError

if TYPE_CHECKING:
    from scaffold.discovery.store import ListStore
    from scaffold.discovery.sync import Status, SyncResult

_SHOWN_FAILURES = 20
_NAMED = 8  # of the lists that failed for one reason
_STATUSES: tuple[Status, ...] = ("synced", "updated", "unchanged", "failed")
_INTERRUPTED = 130
_JOBS = 8


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
@click.option(
    "--jobs", metavar="N", type=click.IntRange(1, 32), default=_JOBS, show_default=True, help="How many at once."
)
@output_options
@click.pass_obj
def command(
    output: Output, repositories: tuple[str, ...], folder: Path | None, query: str | None, top: int, jobs: int
) -> int:
    """Bring the entries of awesome lists into the index, so that search looks inside them.

    Without a name: the catalog's lists and those that were synced before.
    """
    run = _Run(output)
    try:
        if folder is not None and (repositories or query is not None):
            raise UsageError("--from takes its lists from the folder: it goes with no names and no --search")
        with run.opened() as store:
            if folder is not None:
                run.from_folder(store, folder)
            else:
                run.from_github(store, run.wanted(store, repositories, query, top), jobs)
        run.build_index()
    except KeyboardInterrupt:
        return run.interrupted()
    except ScaffoldError as error:
        run.fail_rest(error)
        output.emit(run.document(), lambda: None)
        raise
    output.emit(run.document(), run.show)
    run.explain()
    return _exit_code(run.results)


def sync_found(output: Output, repositories: Sequence[str]) -> list[SyncResult]:
    """Sync lists that another command found, and have the index know them."""
    run = _Run(output)
    with run.opened() as store:
        run.from_github(store, list(repositories), _JOBS)
    run.build_index()
    run.explain()
    return run.results


class _Run:
    """One sync as the command line sees it: what has come so far, and how that is told."""

    def __init__(self, output: Output) -> None:
        self.results: list[SyncResult] = []
        self._output = output
        self._wanted: list[str] = []
        self._notices: list[str] = []
        self._building = False
        self._totals = {"lists": 0, "entries": 0, "repositories": 0}

    @contextlib.contextmanager
    def opened(self) -> Iterator[ListStore]:
        """The store; what it holds in the end is counted."""
        from scaffold import paths
        from scaffold.discovery.store import ListStore

        with ListStore.open(paths.lists_path()) as store:
            if store.notice:
                self._notices.append(store.notice)
                self._output.note(store.notice)
            try:
                yield store
            finally:
                self._totals = store.totals()

    def wanted(self, store: ListStore, repositories: Sequence[str], query: str | None, top: int) -> list[str]:
        """The lists to ask for: those named and found, else the catalog's and those that are here already."""
        from scaffold.discovery.index import open_index

        wanted = self._named(repositories)
        if query is not None:
            wanted += self._found(query, top)
        if not repositories and query is None:
            rows = open_index().execute(
                "SELECT repo FROM documents WHERE kind = 'list' AND grade IS NOT NULL ORDER BY id"
            )
            wanted = [row["repo"] for row in rows] + store.list_names()
        return list({name.casefold(): name for name in wanted}.values())

    def _named(self, repositories: Sequence[str]) -> list[str]:
        from scaffold.discovery.sync import SyncResult
        from scaffold.repository import parse_name

        names = []
        for text in repositories:
            try:
                names.append(str(parse_name(text)))
            except ScaffoldError as error:
                self.results.append(SyncResult(text, "failed", error=error.message, failure=error))
        return names

    def _found(self, query: str, top: int) -> list[str]:
        from scaffold.cli.search import searched
        from scaffold.discovery.search import Filters

        result = searched(self._output, query, Filters(kind="list"), limit=top)
        if not result.hits:
            raise NotFoundError(f"no list was found for “{query}”", hint=" ".join(result.notices))
        return [hit.repo for hit in result.hits]

    def from_folder(self, store: ListStore, folder: Path) -> None:
        """Index a tree of local lists."""
        from scaffold.discovery.sync import parse_anew, sync_local

        with self._progress("reading the lists") as progress:
            sync_local(store, folder, progress)
        parse_anew(store)

    def from_github(self, store: ListStore, repositories: list[str], jobs: int) -> None:
        """Bring lists from GitHub."""
        from scaffold.discovery.fetch import ListFetcher
        from scaffold.discovery.sync import parse_anew, sync_remote
        from scaffold.github.raw import RawFiles
        from scaffold.settings import load_settings

        self._wanted = repositories
        fetcher = ListFetcher(RawFiles(load_settings()))
        with self._progress("asking for the lists") as progress:
            sync_remote(store, repositories, fetcher, jobs=jobs, progress=progress)
        parse_anew(store)

    def build_index(self) -> None:
        """Now, so that the next search need not wait for it."""
        from scaffold.discovery.index import open_index

        self._building = True
        open_index(building=lambda: self._output.note("Building the index …")).close()

    def interrupted(self) -> int:
        """Say in one line what was kept, and end: the next search builds the index."""
        kept = sum(result.status != "failed" for result in self.results)
        self._output.emit(self.document(), lambda: None)
        next_step = "The next search builds the index." if self._building else "`scaffold sync` goes on with the rest."
        self._output.note(f"Interrupted: {_lists(kept)} kept. {next_step}")
        return _INTERRUPTED

    def fail_rest(self, error: ScaffoldError) -> None:
        """What ended the run is also why the lists that were not reached have failed."""
        from scaffold.discovery.sync import SyncResult

        reached = {result.repo for result in self.results}
        for repo in self._wanted:
            if repo not in reached:
                self.results.append(SyncResult(repo, "failed", error=error.message, failure=error))

    def document(self) -> dict[str, Any]:
        """The `sync` document."""
        return {
            "lists": [result.to_json() for result in self.results],
            "totals": self._totals,
            "notices": self._notices,
        }

    def show(self) -> None:
        """How many lists, what the index holds now, and what to do next."""
        counts = Counter(result.status for result in self.results)
        words = ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
        self._output.line(f"{_lists(len(self.results))}: {words}.")
        self._output.line(
            f"The index holds {self._totals['entries']:,} entries of {_lists(self._totals['lists'])},"
            f" {self._totals['repositories']:,} repositories among them."
        )
        if any(result.status != "failed" for result in self.results):
            self._output.next_steps(["scaffold search nlp"])

    def explain(self) -> None:
        """Why lists failed, and what else is to be known of them, on stderr."""
        from scaffold.github.errors import without_offline

        reasons: dict[tuple[str, str | None], list[str]] = {}
        for result in self.results:
            if result.failure:
                failure = without_offline(result.failure)
                reasons.setdefault((failure.message, failure.hint), []).append(result.repo)
        for (text, hint), repos in list(reasons.items())[:_SHOWN_FAILURES]:
            more = f" and {len(repos) - _NAMED} more" if len(repos) > _NAMED else ""
            named = text if repos[0] in text else f"{', '.join(repos[:_NAMED])}{more}: {text}"
            self._output.error(ScaffoldError(named, hint=hint))
        if left := sum(len(repos) for repos in list(reasons.values())[_SHOWN_FAILURES:]):
            self._output.note(f"… and {left} more.")
        for result in self.results:
            if result.status != "failed" and result.error:
                self._output.note(f"{result.repo}: {result.error}")

    @contextlib.contextmanager
    def _progress(self, beginning: str) -> Iterator[Callable[[SyncResult, int, int], None]]:
        """Takes each result as it comes; at a terminal a bar on stderr shows it."""
        if not sys.stderr.isatty():
            yield lambda result, done, total: self.results.append(result)
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        text = TextColumn("{task.description}", markup=False)
        with Bars(BarColumn(), MofNCompleteColumn(), text, console=console, transient=True) as bars:
            task = bars.add_task(beginning, total=None)

            def on_progress(result: SyncResult, done: int, total: int) -> None:
                self.results.append(result)
                bars.update(task, description=clean(f"{result.repo}: {result.status}"), completed=done, total=total)

            yield on_progress


def _lists(count: int) -> str:
    return f"{count:,} list{'s' if count != 1 else ''}"


def _exit_code(results: Sequence[SyncResult]) -> int:
    """0 where all went well, 7 where some failed, 1 where all did; of the only one, its reason's own code."""
    failures = [result.failure for result in results if result.failure]
    if not failures:
        return 0
    if len(failures) < len(results):
        return PartialError.exit_code
    return failures[0].exit_code if len(failures) == 1 else ScaffoldError.exit_code
