"""`scaffold show`: what the index knows of one list or project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scaffold.cli.output import Output, output_options

if TYPE_CHECKING:
    from scaffold.discovery.hits import Hit


@click.command(epilog="Example:  scaffold show huggingface/transformers")
@click.argument("repository", metavar="OWNER/NAME")
@output_options
@click.pass_obj
def command(output: Output, repository: str) -> None:
    """Show what the index knows of a list or project."""
    from scaffold.discovery.index import open_index
    from scaffold.discovery.search import find, templates_for
    from scaffold.repository import parse_name

    connection = open_index()
    hit = find(connection, str(parse_name(repository)))
    templates = templates_for(connection, hit.tasks)
    document = {**hit.to_json(), "templates": list(templates)}
    # Entries of lists come into the index with the lists' READMEs; the catalog alone has none.
    document |= {"sections": [], "entries": []} if hit.kind == "list" else {"lists": []}
    output.emit(document, lambda: _show(output, hit, templates))


def _show(output: Output, hit: Hit, templates: tuple[str, ...]) -> None:
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
        ("succeeded by", hit.successor),
        ("address", hit.url),
    ]
    output.table(("fact", "value"), [fact for fact in facts if fact[1]], ("dim", ""))
    commands = [f"scaffold clone {hit.repo}"]
    if templates:
        commands.append(f"scaffold new {templates[0]} my-{templates[0]}")
    output.next_steps(commands)
