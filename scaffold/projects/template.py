"""Templates: the folders in `templates/` and what their `template.yaml` says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from scaffold import paths
from scaffold.errors import RefusedError, ScaffoldError, UsageError

Model = Literal["encoder-decoder", "decoder", "tabular"]
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_IGNORED = {"template.yaml", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "runs", "data"}


@dataclass(frozen=True)
class Setting:
    """One thing that `--set` may change in a project, besides what the plan decides."""

    name: str
    type: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Template:
    """One starter.

    Attributes:
        folder: where its files lie.
        requires: what the generated project needs besides torch.
        extras: what only some parts of it need: name of the part → requirements.
        shared: files of `templates/_shared/` that the project gets as well.
        groups: folders of `templates/_shared/groups/` whose content it gets: `container`, `cloud`.
        model: which memory formula the plan uses.
        presets: model sizes, smallest first.
        pretrained: the dimensions of the ready-made model that the starter fine-tunes, and its `name`; empty for none.
        run: what to type after the install.
    """

    folder: Path
    name: str
    version: str
    title: str
    title_ko: str
    summary: str
    summary_ko: str
    tasks: tuple[str, ...]
    needs: str
    torch: bool
    requires: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]
    shared: tuple[str, ...]
    groups: tuple[str, ...]
    model: Model
    presets: dict[str, dict[str, Any]]
    pretrained: dict[str, Any]
    settings: dict[str, Setting]
    run: tuple[str, ...]

    def sources(self) -> Iterator[tuple[str, Path]]:
        """The files that make a project: path in the project (still with `.j2`) and file, sorted by path."""
        found = {name: self.folder.parent / "_shared" / name for name in self.shared}
        for folder in (*self.group_folders, self.folder):
            for path in folder.rglob("*"):
                relative = path.relative_to(folder)
                if path.is_file() and not any(part in _IGNORED for part in relative.parts):
                    found[relative.as_posix()] = path
        yield from sorted(found.items())

    @property
    def group_folders(self) -> tuple[Path, ...]:
        """Where the files of its groups lie."""
        return tuple(self.folder.parent / "_shared" / "groups" / name for name in self.groups)

    def to_json(self) -> dict[str, Any]:
        """One row of the `templates` document."""
        return {
            "name": self.name,
            "title": self.title,
            "summary": self.summary,
            "tasks": list(self.tasks),
            "needs": self.needs,
        }


def template_names() -> list[str]:
    """The names of the templates that ship with scaffold."""
    return sorted(path.parent.name for path in paths.templates_dir().glob("*/template.yaml"))


def load_template(name: str) -> Template:
    """The template of that name.

    Raises:
        UsageError: if there is none, with the nearest names.
        RefusedError: for a folder or URL: foreign templates could run anything.
    """
    if "/" in name or "\\" in name:
        raise RefusedError(
            f"{name}: templates from folders and addresses are not trusted",
            hint=f"The templates that ship with scaffold are: {', '.join(template_names())}",
        )
    names = template_names()
    if name not in names:
        near = get_close_matches(name, names, 2)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"The templates are: {', '.join(names)}"
        raise UsageError(f"there is no template “{name}”", hint=hint)
    return _read(paths.templates_dir() / name)


def load_templates() -> list[Template]:
    """All templates, by name."""
    return [_read(paths.templates_dir() / name) for name in template_names()]


def _read(folder: Path) -> Template:
    import yaml

    path = folder / "template.yaml"
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        settings = {name: _setting(name, card) for name, card in data.get("settings", {}).items()}
        return Template(
            folder=folder,
            name=data["name"],
            version=str(data["version"]),
            title=data["title"],
            title_ko=data["title_ko"],
            summary=data["summary"],
            summary_ko=data["summary_ko"],
            tasks=tuple(data["tasks"]),
            needs=data["needs"],
            torch=data["torch"],
            requires=tuple(data["requires"]),
            extras={part: tuple(requirements) for part, requirements in data.get("extras", {}).items()},
            shared=tuple(data.get("shared", ())),
            groups=tuple(data.get("groups", ())),
            model=data["model"],
            presets=data.get("presets", {}),
            pretrained=data.get("pretrained", {}),
            settings=settings,
            run=tuple(data["run"]),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ScaffoldError(f"{path}: this template is broken: {error!r}", hint="Reinstall scaffold.") from error


def _setting(name: str, card: dict[str, Any]) -> Setting:
    return Setting(
        name=name,
        type=_TYPES[card["type"]],
        default=card["default"],
        help=card["help"],
        minimum=card.get("min"),
        maximum=card.get("max"),
        choices=tuple(card.get("choices", ())),
    )
