"""Picking hits with the arrow keys, and going on with them: show, clone or start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaffold.cli.output import Output, clean
from scaffold.programs import joined

if TYPE_CHECKING:
    from questionary import Question

    from scaffold.discovery.hits import Hit
    from scaffold.discovery.search import SearchResult

_WIDTH = 100
_INTERRUPTED = 130


def pick_and_go_on(output: Output, result: SearchResult) -> int:
    """Ask which hits are meant and what to do with them; returns the exit code of what was done."""
    import questionary

    choices = [questionary.Choice(_label(hit), value=hit.repo) for hit in result.hits]
    question = "Which ones? (space picks, enter goes on, q leaves)"
    picked = _ask(questionary.checkbox(question, choices=choices, instruction=" "))
    if not picked:
        output.note("Nothing was picked.")
        return 0
    ways = [
        questionary.Choice("show what is known of them", value="show"),
        questionary.Choice("clone them into references/", value="clone"),
    ]
    if result.templates:
        ways.append(questionary.Choice(f"start a {result.templates[0]} project for the topic", value="start"))
    way = _ask(questionary.select("And then?", choices=ways, instruction=" "))
    if way is None:
        output.note("Nothing was done.")
        return 0
    return _go_on(output, way, picked, result.query)


def _ask(question: Question) -> Any:
    """The answer; None where the user leaves with q, Escape or the end of input."""
    from prompt_toolkit.key_binding import KeyBindings, merge_key_bindings

    leaving = KeyBindings()
    for key in ("q", "escape", "c-d"):
        leaving.add(key, eager=True)(lambda event: event.app.exit(result=None))
    application = question.application
    application.key_bindings = merge_key_bindings([application.key_bindings or KeyBindings(), leaving])
    return question.unsafe_ask()


def _go_on(output: Output, way: str, picked: list[str], topic: str) -> int:
    from scaffold.cli.main import run

    if way != "show":
        arguments = ["clone", *picked] if way == "clone" else ["start", topic]
        output.note(f"$ {joined(['scaffold', *arguments])}")
        return run(arguments)
    code = 0
    for repo in picked:
        code = max(code, run(["show", repo]))
        if code == _INTERRUPTED:
            break
    return code


def _label(hit: Hit) -> str:
    text = clean(f"{hit.repo}  {hit.description or hit.title}")
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
