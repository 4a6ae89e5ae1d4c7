"""Picking hits with the arrow keys, and going on with them: show, clone or start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaffold.cli.output import Output, clean

if TYPE_CHECKING:
    from scaffold.discovery.hits import Hit
    from scaffold.discovery.search import SearchResult

_WIDTH = 100


def pick_and_go_on(output: Output, result: SearchResult) -> int:
    """Ask which hits are meant and what to do with them; returns the exit code of what was done."""
    import questionary

    choices = [questionary.Choice(_label(hit), value=hit.repo) for hit in result.hits]
    picked = questionary.checkbox(
        "Which ones? (space picks, enter goes on)", choices=choices, instruction=" "
    ).unsafe_ask()
    if not picked:
        output.note("Nothing was picked.")
        return 0
    ways = [
        questionary.Choice("show what is known of them", value="show"),
        questionary.Choice("clone them into references/", value="clone"),
    ]
    if result.templates:
        ways.append(questionary.Choice(f"start a {result.templates[0]} project for the topic", value="start"))
    way = questionary.select("And then?", choices=ways, instruction=" ").unsafe_ask()
    return _go_on(output, way, picked, result.query)


def _go_on(output: Output, way: str, picked: list[str], topic: str) -> int:
    from scaffold.cli.main import run

    if way == "show":
        return max(run(["show", repo]) for repo in picked)
    if way == "clone":
        output.note(f"$ scaffold clone {' '.join(picked)}")
        return run(["clone", *picked])
    output.note(f"$ scaffold start {topic}")
    return run(["start", topic])


def _label(hit: Hit) -> str:
    text = clean(f"{hit.repo}  {hit.description or hit.title}")
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
