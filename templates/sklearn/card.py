"""The model card: one page beside the model that says what it is, how good, on what, and where not to trust it."""

from __future__ import annotations

import re
from typing import Any

from report import figure
from store import LEVEL, ModelInfo

SHOWN = 10


def model_card(results: dict[str, Any], info: ModelInfo) -> str:
    """A trained model described in Markdown, from what metrics.json holds."""
    parts = [
        f"# Model card: {plain(info.target)} from {plain(info.name)}",
        _what(results, info),
        "## How good it is",
        _scores(results),
        *_classes(results, info),
        "## What it looks at",
        _importances(results),
        "## Where not to trust it",
        _limits(results, info),
        "## How it was made",
        _making(results, info),
    ]
    return "\n\n".join(parts) + "\n"


def plain(text: object) -> str:
    """Text of the user's inside Markdown: on one line, and no letter of it means anything."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))


def _what(results: dict[str, Any], info: ModelInfo) -> str:
    answer = (
        f"one of {len(info.classes)} classes ({', '.join(map(plain, info.classes[:SHOWN]))}"
        f"{', ...' * (len(info.classes) > SHOWN)}), with a probability for each"
        if info.classes
        else "a number, with a range"
    )
    rows = results["rows"]
    return (
        f"A {results['model']} that predicts **{plain(info.target)}**: {answer}. It learned from {rows['learned']} "
        f"rows with {len(info.columns)} columns and was tested once on {rows['tested']} rows that nothing had seen. "
        "Who uses it, for what, and who is affected by a mistake: *write it here before others rely on it.*"
    )


def _scores(results: dict[str, Any]) -> str:
    lines = ["| on held-out rows | model | always the same answer |", "|---|---|---|"]
    for name, value in results["test"].items():
        lines.append(f"| {name} | {figure(value)} | {figure(results['baseline_test'][name])} |")
    tuned = results["tuned"]
    lines += ["", f"Cross-validated {results['metric']}: {tuned['mean']:.3f} ± {tuned['std']:.3f}."]
    return "\n".join(lines)


def _classes(results: dict[str, Any], info: ModelInfo) -> list[str]:
    if not info.classes:
        text = f"In {LEVEL:.0%} of the cases the truth lies within ±{figure(info.margin)} of the prediction."
        return [text + " Measured on folds not learned from."]
    lines = ["| class | of those named, right | of those there, found | held-out rows |", "|---|---|---|---|"]
    for found in results["classes"]:
        cells = plain(found["class"]), f"{found['precision']:.3f}", f"{found['recall']:.3f}", str(found["rows"])
        lines.append(f"| {' | '.join(cells)} |")
    calibrated = (
        "Probabilities were calibrated on folds not learned from"
        if results["settings"]["calibrate"]
        else ("Probabilities are the model's own, not calibrated")
    )
    lines += ["", f"{calibrated}; `calibration.png` shows how far they can be believed."]
    if len(set(info.weights)) > 1:
        lines.append("Classes are rare, so each counts as much as the others: one is named when it is more probable")
        lines.append("for the row than for an average row. The weights are in `model.json`.")
    return ["\n".join(lines)]


def _importances(results: dict[str, Any]) -> str:
    lines = [f"How much {results['metric']} falls when a feature is shuffled:", ""]
    ranked = list(results["importances"].items())
    lines += [f"- {plain(name)}: {fall:.3f}" for name, fall in ranked[:SHOWN]]
    if len(ranked) > SHOWN:
        lines.append(f"- and {len(ranked) - SHOWN} more, in `metrics.json`")
    return "\n".join([*lines, "", "This is what the model uses, not what causes the answer."])


def _limits(results: dict[str, Any], info: ModelInfo) -> str:
    lines = [f"- {plain(text)}" for text in results["warnings"]]
    tested = results["rows"]["tested"]
    if tested < 200:
        lines.append(f"- {tested} rows are a small test: one row more or less is {1 / tested:.1%}.")
    lines += [
        f"- {plain(found['class'])}: only {found['rows']} rows in the test, so its numbers are rough."
        for found in results["classes"]
        if found["rows"] < 20
    ][:SHOWN]
    dates = [column.name for column in info.columns if column.kind == "date"]
    if dates:
        lines.append(
            f"- Rows have dates ({', '.join(map(plain, dates[:3]))}) and were split at random: if it is to predict "
            "what comes later, test it on the newest rows."
        )
    lines.append("- Rows unlike those it learned from: other times, places or people, values it has never seen.")
    lines.append("- Groups of people were not compared: do so before it decides anything about them.")
    return "\n".join(lines)


def _making(results: dict[str, Any], info: ModelInfo) -> str:
    settings = ", ".join(f"{key} {value:.3g}" for key, value in results["tuned"]["settings"].items()) or "the defaults"
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    lines = [f"- settings: {settings}; seed {results['settings']['seed']}, {results['settings']['folds']} folds"]
    lines += [f"- made with {versions}"]
    lines += [f"- {plain(note)}" for note in results["notes"][:20]]
    return "\n".join(lines)
