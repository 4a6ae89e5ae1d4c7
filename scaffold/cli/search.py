"""`scaffold search`: ranked lists and projects for a topic."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from scaffold.cli.output import Output, output_options
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from scaffold.discovery.hits import Hit
    from scaffold.discovery.search import Filters, SearchResult, Sort


@click.command(
    epilog="Examples:  scaffold search nlp   ·   scaffold search 강화학습   ·   scaffold search asr --kind project"
)
@click.argument("query", nargs=-1, required=True)
@click.option("--kind", type=click.Choice(["list", "project", "any"]), default="any", help="Only lists or projects.")
@click.option("--task", help="Only what serves this task.")
@click.option("--language", help="Only projects in this programming language.")
@click.option("--license", "license_id", help="Only this licence, e.g. mit or apache.")
@click.option("--min-stars", type=click.IntRange(min=0), help="Only with at least so many stars known.")
@click.option("--sort", type=click.Choice(["best", "stars", "updated", "name"]), default="best", show_default=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many hits.")
@click.option("--offline", is_flag=True, help="Ask no server: answer from the catalog and the index.")
@click.option("--refresh", is_flag=True, help="Ask GitHub anew, also what the cache still holds.")
@click.option("--sync", "sync_lists", is_flag=True, help="Also bring the lists that are found into the index.")
@click.option("-i", "--interactive", is_flag=True, help="Pick hits with the arrow keys and go on from there.")
@output_options
@click.pass_obj
def command(
    output: Output,
    query: tuple[str, ...],
    kind: str,
    task: str | None,
    language: str | None,
    license_id: str | None,
    min_stars: int | None,
    sort: Sort,
    limit: int,
    offline: bool,
    refresh: bool,
    sync_lists: bool,
    interactive: bool,
) -> int:
    """Find awesome lists and projects for a topic, in English or Korean.

    Abbreviations and slips of the finger are understood: asr, 강화학습, reinforcment learning.
    """
    from scaffold.discovery.search import Filters

    if offline and (refresh or sync_lists):
        raise UsageError("--offline asks no server: it goes with neither --refresh nor --sync")
    if interactive and not (output.at_terminal and sys.stdin.isatty()):
        raise UsageError("-i needs a terminal", hint="Leave it out, or use --json.")
    filters = Filters(None if kind == "any" else kind, task, language, license_id, min_stars)
    text = " ".join(query)
    result = searched(output, text, filters, sort, limit, offline=offline, refresh=refresh)
    if sync_lists and any(hit.kind == "list" for hit in result.hits):
        from scaffold.cli.sync import sync_found

        sync_found(output, [hit.repo for hit in result.hits if hit.kind == "list"])
        result = searched(output, text, filters, sort, limit, offline=offline)
    for notice in result.notices if not output.as_json else ():
        output.note(notice)
    if interactive and result.hits:
        from scaffold.cli.pick import pick_and_go_on

        return pick_and_go_on(output, result)
    output.emit(result.to_json(), lambda: show_result(output, result))
    return 0


def searched(
    output: Output,
    text: str,
    filters: Filters,
    sort: Sort = "best",
    limit: int = 20,
    *,
    offline: bool = False,
    refresh: bool = False,
) -> SearchResult:
    """A search as the command does it: GitHub and the index together, or the index alone."""
    from scaffold.discovery.index import open_index
    from scaffold.discovery.search import search
    from scaffold.settings import load_settings

    begun = time.monotonic()
    settings = load_settings()
    index = open_index(building=lambda: output.note("Building the index …") if output.at_terminal else None)
    if offline:
        from scaffold.github.facts import cached_facts

        return search(index, text, filters, sort, limit, facts=lambda repos: cached_facts(settings, repos))
    from scaffold.discovery.live import SECONDS, search_live
    from scaffold.github.api import GitHub
    from scaffold.github.deadline import Deadline
    from scaffold.settings import with_gh_token

    deadline = Deadline(begun + SECONDS)  # an index that had to be built first has used some of it
    with GitHub(with_gh_token(settings), deadline, refresh=refresh) as github:
        return search_live(index, text, github, filters, sort, limit)


def show_result(output: Output, result: SearchResult, *, steps: bool = True) -> None:
    """The hits as two tables, and what to do next."""
    for kind, title in (("list", "Awesome lists"), ("project", "Projects")):
        hits = [hit for hit in result.hits if hit.kind == kind]
        if hits:
            output.heading(title)
            output.table(
                ("repository", "what it is", "why"),
                [(hit.repo, _what(hit), hit.why) for hit in hits],
                ("bold cyan", "", "dim"),
            )
    if result.hits and steps:
        output.next_steps(next_commands(result))


def next_commands(result: SearchResult) -> list[str]:
    """What a person does after a search."""
    projects = [hit for hit in result.hits if hit.kind == "project"]
    commands = [f"scaffold show {result.hits[0].repo}", f"scaffold clone {(projects or result.hits)[0].repo}"]
    if result.templates:
        commands.append(f"scaffold new {result.templates[0]} my-{result.templates[0]}")
    return commands


def _what(hit: Hit) -> str:
    facts = [fact for fact in (hit.language, hit.license, f"★ {hit.stars:,}" if hit.stars else None) if fact]
    text = hit.description or hit.title
    return f"{text} ({', '.join(facts)})" if facts else text
