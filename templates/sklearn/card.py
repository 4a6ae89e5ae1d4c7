"""The model card: one page beside the model that says what it is, how good, on what, and where not to trust it."""

from __future__ import annotations

import re
from typing import Any

from store import LEVEL, ModelInfo
from words import figure, listed, say

SHOWN = 10


def model_card(results: dict[str, Any], info: ModelInfo) -> str:
    """A trained model described in Markdown, from what metrics.json holds."""
    parts = [
        "# " + say("Model card: {target} from {name}", target=plain(info.target), name=plain(info.name)),
        _what(results, info),
        "## " + say("How good it is"),
        _scores(results),
        _classes(results, info) if info.classes else _range(info),
        "## " + say("What it looks at"),
        _importances(results),
        "## " + say("Where not to trust it"),
        _limits(results, info),
        "## " + say("How it was made"),
        _making(results, info),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: object) -> str:
    """Text of the user's inside Markdown: on one line, and no letter of it means anything."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))


def _what(results: dict[str, Any], info: ModelInfo) -> str:
    answer = say("a number, with a range")
    if info.classes:
        names = listed(list(map(plain, info.classes)), SHOWN)
        text = "one of {count} classes ({names}), with a probability for each"
        answer = say(text, count=len(info.classes), names=names)
    rows, text = results["rows"], "A {model} that predicts **{target}**: {answer}."
    sentences = (
        say(text, model=results["model"], target=plain(info.target), answer=answer),
        say("It learned from {rows} rows with {columns} columns.", rows=rows["learned"], columns=len(info.columns)),
        say("It was tested once, on {rows} rows that nothing had seen.", rows=rows["tested"]),
        say("Who uses it, for what, and who is affected by a mistake: *write it here before others rely on it.*"),
    )
    return " ".join(sentences)


def _scores(results: dict[str, Any]) -> str:
    header = say("on held-out rows"), say("model"), say("always the same answer")
    lines = [f"| {' | '.join(header)} |", "|---|---|---|"]
    for name, value in results["test"].items():
        lines.append(f"| {name} | {figure(value)} | {figure(results['baseline_test'][name])} |")
    tuned = results["tuned"]
    text = "Cross-validated {metric}: {mean:.3f} ± {std:.3f}."
    return "\n".join([*lines, "", say(text, metric=results["metric"], mean=tuned["mean"], std=tuned["std"])])


def _range(info: ModelInfo) -> str:
    text = (
        "In {level:.0%} of the cases the truth lies within ±{margin} of the prediction, "
        "measured on folds not learned from."
    )
    return say(text, level=LEVEL, margin=figure(info.margin))


def _classes(results: dict[str, Any], info: ModelInfo) -> str:
    header = say("class"), say("of those named, right"), say("of those there, found"), say("rows")
    lines = [f"| {' | '.join(header)} |", "|---|---|---|---|"]
    for found in results["classes"]:
        cells = plain(found["class"]), f"{found['precision']:.3f}", f"{found['recall']:.3f}", str(found["rows"])
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    if results["settings"]["calibrate"]:
        lines.append(say("Probabilities were calibrated on folds not learned from."))
    else:
        lines.append(say("Probabilities are the model's own, not calibrated."))
    lines.append(say("`calibration.png` shows how far they can be believed."))
    if len(set(info.weights)) > 1:
        lines.append(
            say(
                "Classes are rare, so each counts as much as the others: one is named when it is more probable "
                "for the row than for an average row. The weights are in `model.json`."
            )
        )
    return "\n".join(lines)


def _importances(results: dict[str, Any]) -> str:
    lines = [say("How much {metric} falls when a feature is shuffled:", metric=results["metric"]), ""]
    ranked = list(results["importances"].items())
    lines += [f"- {plain(name)}: {fall:.3f}" for name, fall in ranked[:SHOWN]]
    if len(ranked) > SHOWN:
        lines.append("- " + say("and {count} more, in `metrics.json`", count=len(ranked) - SHOWN))
    return "\n".join([*lines, "", say("This is what the model uses, not what causes the answer.")])


def _limits(results: dict[str, Any], info: ModelInfo) -> str:
    lines = [plain(text) for text in results["warnings"]]
    tested = results["rows"]["tested"]
    if tested < 200:
        text = "{rows} rows are a small test: one row more or less is {share:.1%}."
        lines.append(say(text, rows=tested, share=1 / tested))
    few = "{name}: only {rows} rows in the test, so its numbers are rough."
    rare = [found for found in results["classes"] if found["rows"] < 20][:SHOWN]
    lines += [say(few, name=plain(found["class"]), rows=found["rows"]) for found in rare]
    dates = [column.name for column in info.columns if column.kind == "date"]
    if dates:
        text = (
            "Rows have dates ({names}) and were split at random: if it is to predict what comes later, "
            "test it on the newest rows."
        )
        lines.append(say(text, names=", ".join(map(plain, dates[:3]))))
    lines.append(say("Rows unlike those it learned from: other times, places or people, values it has never seen."))
    lines.append(say("Groups of people were not compared: do so before it decides anything about them."))
    return "\n".join(f"- {line}" for line in lines)


def _making(results: dict[str, Any], info: ModelInfo) -> str:
    settings = results["settings"]
    found = ", ".join(f"{key} {value:.3g}" for key, value in results["tuned"]["settings"].items())
    text = "settings: {found}; seed {seed}, {folds} folds"
    lines = [say(text, found=found or say("the defaults"), seed=settings["seed"], folds=settings["folds"])]
    lines.append(say("made with {versions}", versions=", ".join(f"{name} {of}" for name, of in info.versions.items())))
    lines += map(plain, results["notes"][:20])
    return "\n".join(f"- {line}" for line in lines)
