"""What `--set KEY=VALUE` may change in a template: names, types and limits."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from scaffold.errors import UsageError
from scaffold.projects.template import Setting, Template

# What the plan decides, and the type of each for --set.
_PLAN_TYPES: dict[str, type] = {
    "device": str,
    "precision": str,
    "tf32": bool,
    "compile": bool,
    "preset": str,
    "batch_size": int,
    "grad_accumulation": int,
    "checkpointing": bool,
    "threads": int,
    "workers": int,
    "pin_memory": bool,
    "world_size": int,
}
_LARGEST = 2**31 - 1  # what every library takes for a whole number
_TABULAR = ("device", "threads", "n_jobs")


def check_options(template: Template, chosen: Mapping[str, str]) -> dict[str, Any]:
    """The user's `--set` values with their types.

    Raises:
        UsageError: for an unknown setting (with the nearest) or a value that does not fit.
    """
    known = _known(template)
    checked = {}
    for name, text in chosen.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The settings are: {', '.join(sorted(known))}"
            raise UsageError(f"{template.name} has no setting “{name}”", hint=hint)
        checked[name] = _parsed(known[name], text)
    return checked


def check_heads(preset: dict[str, Any]) -> None:
    """Each attention head gets an equal part of the width.

    Raises:
        UsageError: if it can't.
    """
    for width, heads in (("d_model", "heads"), ("n_embd", "n_head")):
        if width in preset and heads in preset and preset[width] % preset[heads]:
            raise UsageError(
                f"{width} {preset[width]} is not a multiple of {heads} {preset[heads]}",
                hint=f"Choose {width} as a multiple of {heads}, e.g. --set {width}={preset[heads] * 16}.",
            )


def _known(template: Template) -> dict[str, Setting]:
    known = {}
    names = _TABULAR if template.model == "tabular" else _PLAN_TYPES
    for name in names:
        kind = _PLAN_TYPES.get(name, int)
        choices: tuple[Any, ...] = {
            "preset": tuple(template.presets),
            "precision": ("fp32", "bf16", "fp16"),
            "device": ("cpu", "cuda", "mps", "xpu"),
        }.get(name, ())
        minimum = 0 if name == "workers" else 1
        known[name] = Setting(name, kind, None, "", minimum if kind is int else None, None, choices)
    for preset in template.presets.values():
        for name, value in preset.items():
            known[name] = Setting(name, type(value), value, "", 1 if type(value) is int else None)
    return known | template.settings


def _parsed(setting: Setting, text: str) -> Any:
    value: Any
    try:
        if setting.type is bool:
            value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        else:
            value = setting.type(text)
    except (ValueError, KeyError):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[setting.type]
        raise UsageError(f"{setting.name} must be {words}, not “{text}”") from None
    if setting.choices and value not in setting.choices:
        allowed = ", ".join(str(choice) for choice in setting.choices)
        raise UsageError(f"{setting.name} cannot be “{text}”", hint=f"It can be: {allowed}")
    if setting.type is int and abs(value) > _LARGEST:
        raise UsageError(f"{setting.name} is too large: {text[:30]}")
    if setting.type in (int, float):
        if value != value or (setting.minimum is not None and value < setting.minimum):
            raise UsageError(f"{setting.name} must be at least {setting.minimum}, not {text}")
        if setting.maximum is not None and value > setting.maximum:
            raise UsageError(f"{setting.name} must be at most {setting.maximum}, not {text}")
    return value
