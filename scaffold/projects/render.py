"""Rendering: the files of a project as bytes, made in memory. Code is copied; only `.j2` files are rendered.

Templates see plain data only (text, numbers, booleans, None, lists, dicts): the sandbox would let a path object read
and write files.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scaffold.errors import ScaffoldError
from scaffold.projects.notebook import colab_gpu, to_notebook
from scaffold.projects.plan import Plan
from scaffold.projects.running import running
from scaffold.projects.template import Template

_SUFFIX = ".j2"
_KOREAN = re.compile(r"\.ko(\.\w+\.j2)$")  # README.ko.md.j2: what a Korean project has in README.md.j2's place
_HIDDEN = ("gitignore", "dockerignore", "skyignore", "devcontainer")  # they get a dot in front


def render(
    template: Template, plan: Plan, *, name: str, language: str, references: Sequence[Mapping[str, Any]]
) -> dict[str, bytes]:
    """All files of a project: path relative to it (with `/`) → content. The same input gives the same bytes.

    Args:
        template: the starter.
        plan: its settings.
        name: the project's name, as the user typed it.
        language: `en` or `ko`, for the README and the comments in the settings.
        references: the repositories that the README names: repo, url, description, license.

    Raises:
        ScaffoldError: if a template file is broken.
    """
    environment = _environment(template)
    context = {
        "project": {"name": name, "slug": _free_slug(name, template)},
        "template": {
            "name": template.name,
            "version": template.version,
            "title": template.title_ko if language == "ko" else template.title,
            "summary": template.summary_ko if language == "ko" else template.summary,
        },
        "settings": _written(plan.settings),
        "reasons": plan.reasons,
        "torch": dict(plan.torch.__dict__) if template.torch else None,
        "requires": list(template.requires),
        "extras": {part: list(requirements) for part, requirements in template.extras.items()},
        "references": [dict(reference) for reference in references],
        "machine": {"summary": plan.machine_summary},
        "nodes": plan.nodes,
        "launch": plan.launch,
        "target": plan.target,
        "lang": language,
        "run": list(template.run),
        "venv_python": ".venv/bin/python",
        **running(template, plan),
    }
    _check_plain(context)
    files = {}
    sources = dict(template.sources())
    korean = {_KOREAN.sub(r"\1", path) for path in sources if _KOREAN.search(path)} if language == "ko" else set()
    for path, source in sources.items():
        target = None if path in korean else _target(path, language)
        if target is None:
            continue
        if path.endswith(_SUFFIX):
            files[target] = _render(environment, path, context).encode()
        else:
            files[target] = source.read_bytes()
    carried = {path: content for path, content in sorted(files.items()) if _travels(path)}
    card = plan.machine.primary if plan.settings["device"] != "cpu" else None
    for path in (path for path in files if path.endswith(".ipynb")):
        files[path] = to_notebook(files[path].decode(), carried, gpu=colab_gpu(card.name if card else None))
    return files


def _travels(path: str) -> bool:
    """Whether a notebook carries a file along: the code and what it reads."""
    return (path.startswith("runtime/") or "/" not in path) and path.endswith((".py", ".toml", ".txt"))


def _written(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a project reads them: its batch is that of all processes, which take equal parts of it."""
    accumulation, world = settings.get("grad_accumulation"), settings.get("world_size", 1)
    return {**settings, **({} if accumulation is None else {"grad_accumulation": accumulation * world})}


def slug(name: str) -> str:
    """A distribution name (PEP 508) made from any text; `project` where nothing of it can stay."""
    ascii_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-") or "project"


def _free_slug(name: str, template: Template) -> str:
    """The slug, made different from everything the project installs: uv refuses a project that needs its own name."""
    found = slug(name)
    needed = (*template.requires, *(requirement for part in template.extras.values() for requirement in part))
    taken = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in (*needed, "torch")}
    return f"{found}-project" if found in taken else found


def _environment(template: Template) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([template.folder, template.folder.parent / "_shared", *template.group_folders]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # these are TOML and Markdown files, not web pages
        finalize=_without_markers,
    )
    environment.filters["toml"] = toml_value
    return environment


def _without_markers(value: Any) -> Any:
    """Two braces from a user's text would read as a marker that was not rendered. TOML values have them escaped."""
    return value.replace("{{", "{ {").replace("{%", "{ %") if isinstance(value, str) else value


def toml_value(value: Any) -> str:
    """A plain value as a TOML literal, text quoted and escaped.

    Raises:
        TypeError: for what TOML cannot hold.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        escaped = "".join(
            _TOML_ESCAPES.get(char) or (f"\\u{ord(char):04x}" if _is_control(char) else char) for char in value
        )
        # `{{` in a value would read as a marker that was not rendered.
        return '"' + escaped.replace("{{", "{\\u007b").replace("{%", "{\\u0025") + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")


_TOML_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs")


def _target(path: str, language: str) -> str | None:
    """The path in the project, or None for what this project does not get."""
    name = path.rsplit("/", 1)[-1]
    if name.startswith("_") and name != "__init__.py":
        return None
    if _KOREAN.search(path) and language != "ko":
        return None
    plain = _KOREAN.sub(r"\1", path).removesuffix(_SUFFIX)
    first = plain.partition("/")[0]
    return f".{plain}" if first in _HIDDEN else plain


def _render(environment: ImmutableSandboxedEnvironment, path: str, context: dict[str, Any]) -> str:
    try:
        return environment.get_template(path).render(context)
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise ScaffoldError(
            f"{path}{line}: this template file is broken: {error}", hint="Reinstall scaffold."
        ) from error


def _check_plain(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key)
            _check_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item)
    elif not (value is None or type(value) in (str, int, float, bool)):
        raise TypeError(f"a template must not see a {type(value).__name__}")
