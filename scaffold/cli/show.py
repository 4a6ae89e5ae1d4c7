"""`scaffold show`: what is known of one list or project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.output import Output, clean, output_options
from scaffold.errors import AuthError, NotFoundError, RateLimitError, ScaffoldError, UsageError

if TYPE_CHECKING:
    import sqlite3

    from scaffold.discovery.about import ListContents
    from scaffold.discovery.hits import Hit
    from scaffold.discovery.store import ListStore, StoredMention
    from scaffold.references.howto import HowTo
    from scaffold.settings import Settings

_ENTRIES = 20
_SECTIONS = 40
_MENTIONS = 12


@click.command(epilog="Examples:  scaffold show huggingface/transformers   ·   scaffold show keon/awesome-nlp --readme")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--readme", is_flag=True, help="Show its README.")
@click.option(
    "--entries", "limit", type=click.IntRange(0), default=_ENTRIES, show_default=True, help="Of a list; 0 shows all."
)
@click.option("--offline", is_flag=True, help="Ask no server.")
@output_options
@click.pass_obj
def command(output: Output, repository: str, readme: bool, limit: int, offline: bool) -> None:
    """Show what is known of a list or project.

    Of a list its sections and best entries, of a project its facts and the lists that name it, and where it was
    cloned into references/ how it is run, as its own files say. What the index does not know is asked from GitHub.
    """
    from scaffold import paths
    from scaffold.discovery.index import open_index
    from scaffold.discovery.search import templates_for
    from scaffold.discovery.store import ListStore
    from scaffold.repository import parse_name
    from scaffold.settings import load_settings

    settings = load_settings()
    index = open_index(building=lambda: output.note("Building the index …") if output.at_terminal else None)
    store = ListStore.read(paths.lists_path())
    hit = _find(index, settings, str(parse_name(repository)), offline=offline)
    if readme:
        _readme(output, index, store, hit, settings, offline=offline)
        return
    templates = templates_for(index, hit.tasks)
    document: dict[str, Any] = {**hit.to_json(), "templates": list(templates)}
    if hit.kind == "list":
        from scaffold.discovery.about import contents

        held = contents(index, store, hit, limit)
        document["sections"] = [{"path": list(path), "entries": count} for path, count in held.sections]
        document["entries"] = [item.to_json() for item in held.entries]
        output.emit(document, lambda: _show_list(output, hit, held, templates))
    else:
        from scaffold.discovery.about import mentions

        said = mentions(index, store, hit)
        document["lists"] = [item.source for item in said]
        document["mentions"] = [
            {"list": item.source, "title": item.title, "description": item.description, "section": list(item.section)}
            for item in said
        ]
        document["howto"] = howto.to_json() if (howto := _howto(hit)) else None
        output.emit(document, lambda: _show_project(output, hit, said, templates, howto))


def _howto(hit: Hit) -> HowTo | None:
    from scaffold.cli.howto import read_reference

    return read_reference(_folder(hit))


def _folder(hit: Hit) -> Path:
    return Path("references", *hit.repo.split("/"))


def _find(index: sqlite3.Connection, settings: Settings, name: str, *, offline: bool) -> Hit:
    """From the index with what GitHub told before; from GitHub where the index does not know it."""
    from scaffold.discovery.search import find
    from scaffold.github.facts import cached_facts

    told = cached_facts(settings, [name]).get(name.casefold())
    try:
        return find(index, name, told)
    except NotFoundError as unknown:
        if Path("references", name).is_dir():
            return _cloned(name, settings)
        if offline:
            raise
        from scaffold.discovery.live import find_live
        from scaffold.github.api import GitHub
        from scaffold.github.deadline import Deadline
        from scaffold.settings import with_gh_token

        try:
            with GitHub(with_gh_token(settings), Deadline.after(10)) as github:
                return find_live(index, name, github)
        except NotFoundError:
            raise NotFoundError(f"neither the index nor GitHub knows {name}", hint=unknown.hint) from None
        except (AuthError, RateLimitError) as error:
            error.message = f"{unknown.message}, and GitHub: {error.message}"
            raise
        except ScaffoldError as error:
            raise NotFoundError(f"{unknown.message}, and GitHub: {error.message}", hint=unknown.hint) from None


def _cloned(name: str, settings: Settings) -> Hit:
    """A repository of which nothing is known but that it was brought here."""
    from scaffold.discovery.hits import Hit

    return Hit(
        repo=name,
        kind="project",
        title=name.partition("/")[2],
        description=None,
        url=f"{settings.server_url}/{name}",
        tasks=(),
        stars=None,
        license=None,
        language=None,
        archived=None,
        pushed_at=None,
        cited_by=0,
        score=0.0,
        sources=("reference",),
        why="cloned by you",
    )


def _show_list(output: Output, hit: Hit, held: ListContents, templates: tuple[str, ...]) -> None:
    _show_facts(output, hit)
    if held.sections:
        output.heading("Sections")
        rows = [(" / ".join(path) or "(without a heading)", str(count)) for path, count in held.sections[:_SECTIONS]]
        output.table(("section", "entries"), rows, ("", "dim"))
        if len(held.sections) > _SECTIONS:
            output.line(f"… and {len(held.sections) - _SECTIONS} more sections")
        output.heading("Entries, the best known first")
        output.table(
            ("entry", "what the list says", "in lists"),
            [
                (item.entry.repo or item.entry.title, item.entry.description, str(item.cited_by or ""))
                for item in held.entries
            ],
            ("bold cyan", "", "dim"),
        )
        _next(output, hit, templates)
    else:
        output.line()
        output.line("Its entries are not in the index yet.")
        _next(output, hit, templates, first=[f"scaffold sync {hit.repo}"])


def _show_project(
    output: Output, hit: Hit, said: list[StoredMention], templates: tuple[str, ...], howto: HowTo | None
) -> None:
    _show_facts(output, hit)
    if said:
        output.heading("Lists that name it")
        output.table(
            ("list", "section", "in its words"),
            [(item.source, " / ".join(item.section), item.description) for item in said[:_MENTIONS]],
            ("bold cyan", "dim", ""),
        )
        if len(said) > _MENTIONS:
            output.line(f"… and {len(said) - _MENTIONS} more lists")
    if howto is not None:
        from scaffold.cli.howto import show_howto

        show_howto(output, howto, _folder(hit))
    _next(output, hit, templates)


def _show_facts(output: Output, hit: Hit) -> None:
    output.line(hit.repo, style="bold cyan")
    if hit.description:
        output.line(hit.description)
    output.line()
    facts = [
        ("kind", "awesome list" if hit.kind == "list" else "project"),
        ("tasks", ", ".join(hit.tasks)),
        ("language", hit.language),
        ("licence", hit.license),
        ("stars", f"{hit.stars:,}" if hit.stars is not None else None),
        ("last change", hit.pushed_at),
        ("archived", {True: "yes", False: "no", None: None}[hit.archived]),
        ("state", ", ".join(flag for flag in hit.flags if flag not in ("archived", "moved"))),
        ("succeeded by", hit.successor),
        ("named by", f"{hit.cited_by} lists" if hit.cited_by else None),
        ("address", hit.url),
    ]
    output.table(("fact", "value"), [fact for fact in facts if fact[1]], ("dim", ""))


def _next(output: Output, hit: Hit, templates: tuple[str, ...], first: list[str] | None = None) -> None:
    commands = [*(first or []), *([] if _folder(hit).is_dir() else [f"scaffold clone {hit.repo}"])]
    if templates:
        commands.append(f"scaffold new {templates[0]} my-{templates[0]}")
    if commands:
        output.next_steps(commands)


def _readme(
    output: Output, index: sqlite3.Connection, store: ListStore | None, hit: Hit, settings: Settings, *, offline: bool
) -> None:
    """The README as it was synced, else as GitHub has it; rendered at a terminal."""
    from scaffold.discovery.about import readme
    from scaffold.discovery.plain import decoded, to_markdown

    found = readme(index, store, hit.repo)
    if found is None and offline:
        raise UsageError(f"the README of {hit.repo} was not synced", hint="Leave --offline out to ask for it.")
    if found is None:
        from scaffold.discovery.fetch import ListFetcher
        from scaffold.github.raw import RawFiles

        main = ListFetcher(RawFiles(settings), seconds=15).readme(hit.repo)
        found = (main.path, main.content)
    path, content = found
    text = decoded(content)
    document = {"repo": hit.repo, "path": path, "readme": text}
    output.emit(
        document, lambda: output.markdown(to_markdown(text)) if path.lower().endswith(".md") else _plain(output, text)
    )


def _plain(output: Output, text: str) -> None:
    for line in text.splitlines():
        output.line(clean(line))
