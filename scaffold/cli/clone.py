"""`scaffold clone`: repositories onto the disk as references."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.after_clone import Aftermath, Readings, look_at
from scaffold.cli.output import Output, output_options
from scaffold.cli.progress import progress
from scaffold.errors import NotFoundError, PartialError, ScaffoldError, UsageError
from scaffold.programs import WINDOWS, quoted
from scaffold.references.reference import Reference, failed
from scaffold.repository import check_ref, parse_name

if TYPE_CHECKING:
    from scaffold.settings import Settings
    from scaffold.vcs import History

_COMMENT = re.compile(r"(?:^|\s)#.*")
_NEXT_SHOWN = 3
_INTERRUPTED = 130
LOCK_NAME = "references.lock"


@dataclass(frozen=True, slots=True)
class Request:
    """What to bring and how, as the command line says it."""

    texts: tuple[str, ...]
    directory: Path = Path("references")
    locked: bool = False
    history: History = "none"
    submodules: bool = False
    ref: str | None = None
    jobs: int = 4


@click.command(epilog="Example:  scaffold clone karpathy/nanoGPT pytorch/examples")
@click.argument("repositories", metavar="OWNER/NAME|URL…", nargs=-1)
@click.option("--from", "listed", metavar="FILE", help="Read names from a file, one a line; - is standard input.")
@click.option("--search", "query", metavar="QUERY", help="The best projects that a search finds.")
@click.option("--top", metavar="N", type=click.IntRange(1, 100), default=3, show_default=True, help="How many of them.")
@click.option("--locked", is_flag=True, help=f"Bring exactly the commits that {LOCK_NAME} pins.")
@click.option(
    "--dir", "directory", metavar="DIR", type=click.Path(path_type=Path), default="references", show_default=True
)
@click.option("--history", is_flag=True, help="All commits; older contents of files come when they are looked at.")
@click.option("--full", is_flag=True, help="All history and branches, not only the last commit.")
@click.option("--submodules", is_flag=True, help="Submodules too, from the hosts that are allowed.")
@click.option(
    "--env", is_flag=True, help="Install each into a .venv of its own. Installing runs the repository's code."
)
@click.option("--ref", metavar="REF", help="A branch, a tag or a full commit.")
@click.option("--jobs", metavar="N", type=click.IntRange(1, 32), default=4, show_default=True, help="How many at once.")
@output_options
@click.pass_obj
def command(
    output: Output,
    repositories: tuple[str, ...],
    listed: str | None,
    query: str | None,
    top: int,
    locked: bool,
    directory: Path,
    history: bool,
    full: bool,
    submodules: bool,
    env: bool,
    ref: str | None,
    jobs: int,
) -> int:
    """Bring repositories onto the disk, into DIR/OWNER/NAME, and pin them in references.lock."""
    texts = repositories
    depth: History = "full" if full else "commits" if history else "none"
    readings = Readings()
    try:
        if ref is not None:
            check_ref(ref)
        texts += _read_list(listed) if listed else ()
        texts += _best(query, top, output) if query else ()
        references = bring(Request(texts, directory, locked, depth, submodules, ref, jobs), output, readings.read)
        after = [look_at(item, readings, env=env, output=output) for item in references]
    except KeyboardInterrupt:
        return _interrupted(output, readings.ended)
    except ScaffoldError as error:
        if output.as_json:
            output.emit(_document([failed(text, error) for text in texts]), lambda: None)
        raise
    output.emit(_document(references, after), lambda: _show(output, references, after))
    explain(output, references)
    return exit_code(references) or (PartialError.exit_code if any(found.error for found in after) else 0)


def clone_names(output: Output, names: Sequence[str]) -> list[Reference]:
    """Bring the named repositories to the usual folder, for a command that does more than that."""
    return bring(Request(tuple(names)), output)


def bring(request: Request, output: Output, on_done: Callable[[Reference], None] | None = None) -> list[Reference]:
    """Clone or restore what was asked for, showing how far it is.

    Args:
        on_done: called from this thread with each reference as it ends.

    Raises:
        UsageError: nothing was named, or `--locked` together with a ref.
        ScaffoldError: as `clone_named` and `restore`.
    """
    if not request.texts and not request.locked:
        raise UsageError("no repository was named", hint="for example: scaffold clone karpathy/nanoGPT")
    if request.locked and request.ref:
        raise UsageError("--locked brings the pinned commits: it takes no --ref")
    from scaffold.references.clone import CloneJob, clone_named, restore
    from scaffold.settings import load_settings, with_gh_token

    settings = with_gh_token(load_settings())
    with progress(output, len(request.texts) or None) as (on_progress, show_done, on_retry):

        def ended(reference: Reference) -> None:
            if on_done is not None:  # first: what stands on the screen must count, also after an interrupt
                on_done(reference)
            show_done(reference)

        job = CloneJob(
            directory=request.directory,
            lock_path=Path(LOCK_NAME),
            settings=settings,
            jobs=request.jobs,
            history=request.history,
            submodules=request.submodules,
            sizes=_sizes(request.texts, settings),
            on_progress=on_progress,
            on_retry=on_retry,
            on_done=ended,
        )
        if request.locked:
            return restore([parse_name(text) for text in request.texts], job)
        return clone_named(request.texts, job, ref=request.ref)


def exit_code(references: Sequence[Reference]) -> int:
    """0 where all went well, 7 where some failed; the reason's own code where one was asked for, 1 where all failed."""
    failures = [reference for reference in references if reference.status == "failed"]
    if not failures:
        return 0
    if len(failures) < len(references):
        return PartialError.exit_code
    return failures[0].exit_code if len(failures) == 1 else ScaffoldError.exit_code


def _document(references: Sequence[Reference], after: Sequence[Aftermath] | None = None) -> dict[str, Any]:
    pairs = zip(references, after or [Aftermath()] * len(references), strict=True)
    return {"references": [{**item.to_json(), **found.to_json()} for item, found in pairs]}


def _interrupted(output: Output, done: Sequence[Reference]) -> int:
    """Say in one line what was kept."""
    kept = sum(reference.status != "failed" for reference in done)
    output.emit(_document(done), lambda: None)
    here = f"{kept} {'repository is' if kept == 1 else 'repositories are'} here"
    output.note(f"Interrupted: {here}. The same command goes on with the rest.")
    return _INTERRUPTED


def _best(query: str, top: int, output: Output) -> tuple[str, ...]:
    """The first projects of a search, without those that something else has replaced."""
    from scaffold.discovery.index import open_index
    from scaffold.discovery.search import Filters, search

    result = search(open_index(), query, Filters(kind="project"), limit=top * 2)
    for notice in result.notices:
        output.note(notice)
    names = tuple(hit.repo for hit in result.hits if not hit.archived and not hit.successor)[:top]
    if not names:
        raise NotFoundError(f"no project was found for “{query}”", hint="Try a broader word, such as nlp or vision.")
    return names


def _sizes(texts: Sequence[str], settings: Settings) -> dict[str, int]:
    """What GitHub said of the sizes lately, where it was asked about these repositories."""
    if len(texts) < 2:
        return {}
    from scaffold.github.facts import cached_facts

    names = [text.partition("@")[0] for text in texts]
    return {name: facts.size or 0 for name, facts in cached_facts(settings, names).items()}


def _read_list(source: str) -> tuple[str, ...]:
    try:
        text = sys.stdin.read() if source == "-" else _decoded(Path(source).read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"{source}: there is no such file") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScaffoldError(f"{source} cannot be read: {reason}", hint="It must be a text file.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{source} is not a text file", hint="one repository a line; # begins a comment") from None
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    return tuple(line for line in lines if line)


def _decoded(content: bytes) -> str:
    # The `>` of Windows' own PowerShell writes UTF-16.
    return content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")


def _show(output: Output, references: Sequence[Reference], after: Sequence[Aftermath]) -> None:
    here = [(item, found) for item, found in zip(references, after, strict=True) if found.howto is not None]
    if not here:
        return
    rows = [
        (item.repo, item.status, (item.commit or "")[:10], None if item.status == "failed" else item.path)
        for item in references
    ]
    output.table(("repository", "status", "commit", "folder"), rows, ("bold", "", "dim", "cyan"))
    if len(here) == 1:
        reference, found = here[0]
        found.show(output)
        if found.howto is not None and found.howto.install is None:
            output.next_steps([f"{'dir' if WINDOWS else 'ls'} {quoted(reference.path or '')}"])
    else:
        output.next_steps([f"scaffold show {item.repo}" for item, _ in here[:_NEXT_SHOWN]], "How each of them is run")
    output.line()
    output.line(f"Their commits are pinned in {LOCK_NAME}: `scaffold clone --locked` brings the same ones elsewhere.")


def explain(output: Output, references: Sequence[Reference]) -> None:
    """Why references failed or were left as they are, on stderr."""
    for item in references:
        if item.note:
            output.note(f"{item.repo}: {item.note}")
        if item.error is None:
            continue
        text = item.error if item.repo in item.error else f"{item.repo}: {item.error}"
        if item.status == "failed":
            output.error(ScaffoldError(text, hint=item.hint))
        else:
            output.note(f"{text} ({item.hint})" if item.hint else text)
