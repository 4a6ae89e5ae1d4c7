"""`scaffold start`: the whole way in one command: search, clone the best references, generate the starter."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli.machine import machine_for, nodes_option, target_options
from scaffold.cli.new import language_option, references_of, show_created
from scaffold.cli.output import Output, output_options
from scaffold.cli.plan import set_option, settings_from
from scaffold.cli.search import next_commands, show_result
from scaffold.errors import ScaffoldError, UsageError

if TYPE_CHECKING:
    import sqlite3

    from scaffold.discovery.search import SearchResult
    from scaffold.projects.create import Created
    from scaffold.references.reference import Reference

_SHOWN = 10  # hits of the search
_CLONED = 3  # references


@dataclass(frozen=True)
class _Way:
    """Which task a topic means, if any, and which starter that has. `nearest` is a related task's, only to be named."""

    task: str | None
    template: str | None
    nearest: str | None


@click.command(epilog="Examples:  scaffold start nlp   ·   scaffold start 번역 my-translator --yes --offline")
@click.argument("topic")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@target_options
@nodes_option
@set_option
@language_option
@click.option("--yes", is_flag=True, help="Ask nothing: take the best of everything.")
@click.option("--offline", is_flag=True, help="Ask no server and clone nothing.")
@click.option("--no-git", is_flag=True, help="Make no git repository.")
@output_options
@click.pass_obj
def command(
    output: Output,
    topic: str,
    directory: Path | None,
    target: str,
    recording: Path | None,
    nodes: int,
    chosen: tuple[str, ...],
    language: str,
    yes: bool,
    offline: bool,
    no_git: bool,
) -> None:
    """The whole way for a topic: search, clone the best references, generate the task's starter."""
    from scaffold.discovery.index import open_index
    from scaffold.discovery.search import search
    from scaffold.projects.create import Choices, create
    from scaffold.projects.generate import check_destination
    from scaffold.projects.plan import make_plan
    from scaffold.projects.template import load_template

    ask = output.at_terminal and sys.stdin.isatty() and not yes
    settings = settings_from(chosen)
    machine = machine_for(target, recording)
    connection = open_index()
    result = search(connection, topic, limit=_SHOWN)
    if not result.hits:
        raise UsageError(f"nothing is known of “{topic}”", hint=" ".join(result.notices))
    way = _find_way(connection, result)
    starter = load_template(way.template) if way.template else None
    destination = directory or _free_name(f"my-{way.template}")
    if starter:
        # What is wrong with the command line is said before anything is cloned.
        check_destination(destination, force=False)
        make_plan(starter, machine, target, settings, nodes=nodes)
    if not output.as_json:
        show_hits(output, result)
    cloned = _clone_best(output, result, ask=ask) if not offline else None
    created = None
    if starter and (
        not ask or click.confirm(f"Make a {way.template} project in {destination}?", default=True, err=True)
    ):
        choices = Choices(target, settings, language, git=not no_git, nodes=nodes)
        created = create(starter, destination, machine, references_of(starter, 5), choices)
    document = {
        "topic": topic,
        "task": way.task,
        "search": result.to_json(),
        "clone": None if cloned is None else {"references": [reference.to_json() for reference in cloned]},
        "new": created.to_json() if created else None,
        "next": list(created.next) if created else _other_ways(result, way),
    }
    output.emit(document, lambda: _show(output, result, way, created))


def show_hits(output: Output, result: SearchResult) -> None:
    """The search's hits, without its own next steps."""
    for notice in result.notices:
        output.note(notice)
    show_result(output, result, steps=False)


def _find_way(connection: sqlite3.Connection, result: SearchResult) -> _Way:
    from scaffold.discovery.search import templates_for

    tasks = result.tasks or result.hits[0].tasks
    if not tasks:
        return _Way(None, None, None)
    task = tasks[0]
    own = templates_for(connection, [task])
    if own:
        return _Way(task, own[0], None)
    related = json.loads(connection.execute("SELECT related FROM tasks WHERE id = ?", (task,)).fetchone()["related"])
    near = templates_for(connection, related)
    return _Way(task, None, near[0] if near else None)


def _clone_best(output: Output, result: SearchResult, *, ask: bool) -> list[Reference]:
    names = [hit.repo for hit in result.hits if hit.kind == "project" and not hit.archived and not hit.successor]
    names = names[:_CLONED]
    if not names or (ask and not click.confirm(f"Clone {', '.join(names)}?", default=True, err=True)):
        return []
    from scaffold.cli.clone import clone_names, explain

    try:
        references = clone_names(output, names)
    except ScaffoldError as error:
        # The starter does not depend on the references.
        output.note(f"No references were cloned: {error.message}. {error.hint or ''}".strip())
        return []
    explain(output, references)
    return references


def _free_name(name: str) -> Path:
    path, number = Path(name), 2
    while path.exists():
        path, number = Path(f"{name}-{number}"), number + 1
    return path


def _other_ways(result: SearchResult, way: _Way) -> list[str]:
    if way.nearest:
        return [f"scaffold new {way.nearest} my-{way.nearest}"]
    return next_commands(result)


def _show(output: Output, result: SearchResult, way: _Way, created: Created | None) -> None:
    if created:
        output.line()
        show_created(output, created)
        return
    if not way.template:
        text = f"No starter is made for {way.task or 'this topic'} yet."
        output.line(f"{text} The nearest is {way.nearest}." if way.nearest else text)
    steps: list[Any] = _other_ways(result, way)
    if steps:
        output.next_steps(steps)
