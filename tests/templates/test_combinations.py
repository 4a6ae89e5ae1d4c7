"""Every template on every target, with every preset and in both languages: it renders, reads back, and is clean Python.

Rendering happens in this process. Code is copied, so each file is compiled once; the settings files are read by the
projects' own code, all of a template's in one new process.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from scaffold.hardware.targets import load, names
from scaffold.projects.plan import make_plan
from scaffold.projects.render import render
from scaffold.projects.template import Template, load_template, template_names

_MARKERS = ("{{", "}}", "{%", "%}", "{#")
_KINDS = ("cpu-8gb", "rtx-4090", "mi300x", "arc-b580", "m2-16gb")
_RENDERED = {
    "config.toml", "pyproject.toml", "requirements.txt", "README.md", "Dockerfile", ".dockerignore", ".skyignore",
    ".devcontainer/devcontainer.json", "cloud/notebook.ipynb", "cloud/sky.yaml", "cloud/slurm.sbatch",
}  # fmt: skip
_HOSTILE = [
    "\"'`\\",
    'a"""; import os; os.system("touch made") #',
    "a\nb\r\n[machine]\nthreads = 99\n",
    "{{ 7 * 7 }}{% for x in settings %}{# #}",
    "emoji 🙂 한글 \u202e \x00\x1b[31m\x7f",
    "$(touch made) `touch made` ${HOME} %PATH%",
    "]]>\n```\n# heading",
]
_READ = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import config
from runtime.settings import load_config
for path in sorted(Path(sys.argv[2]).glob("*.toml")):
    load_config(path, config.Config)
"""


def _files(
    template: Template, target: str, language: str = "en", name: str = "mine", chosen: dict[str, str] | None = None
) -> dict[str, bytes]:
    plan = make_plan(template, load(target), target, chosen or {})
    references = [{"repo": "a/b", "url": "https://github.com/a/b", "description": "what it is", "license": None}]
    return render(template, plan, name=name, language=language, references=references)


def _choices(template: Template) -> list[tuple[str, str, dict[str, str]]]:
    """Target, language and preset: each target in both languages as planned, and each preset on one of each kind."""
    planned = [(target, language, {}) for target in names() for language in ("en", "ko")]
    chosen = [(target, "en", {"preset": preset}) for target in _KINDS for preset in template.presets]
    return [*planned, *chosen]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _is_read(project: Path, configs: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _READ, str(project), str(configs)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def _own_text(name: str, content: bytes) -> str:
    """The text of a file without what was copied into it: the notebook carries the project's own Python along."""
    if name.endswith(".json"):  # where two braces may close two objects
        return json.dumps(json.loads(content), indent=1)
    if not name.endswith(".ipynb"):
        return content.decode("utf-8")
    cells = ["".join(cell["source"]) for cell in json.loads(content)["cells"]]
    return "\n".join(cell for cell in cells if not cell.startswith("#@title Files"))


def _check_document(name: str, content: bytes) -> Any:
    """The parsed file, where it is of a kind that can be parsed."""
    text = content.decode("utf-8")
    if name.endswith(".py"):
        ast.parse(text, name)
    if name.endswith(".toml"):
        return tomllib.loads(text)
    if name.endswith((".ipynb", ".json")):
        return json.loads(text)
    if name.endswith((".yaml", ".yml")):
        import yaml

        return list(yaml.safe_load_all(text))
    return None


@pytest.mark.parametrize("name", template_names())
def test_every_combination_is_whole(tmp_path: Path, name: str) -> None:
    template = load_template(name)
    copied: dict[str, bytes] = {}
    (tmp_path / "configs").mkdir()
    for number, (target, language, preset) in enumerate(_choices(template)):
        files = _files(template, target, language, chosen=preset)
        where = f"{target} {language} {preset}"
        for path, content in files.items():
            if path.endswith(".py"):
                assert copied.setdefault(path, content) == content, f"{where}: {path} is not copied but made"
                continue
            _check_document(path, content)
            found = [marker for marker in _MARKERS if path in _RENDERED and marker in _own_text(path, content)]
            assert not found, f"{where}: {path} holds {found}"
        assert {file for file in files if file.endswith(".py")} == set(copied), where
        (tmp_path / "configs" / f"{number}.toml").write_bytes(files["config.toml"])
    for path, content in copied.items():
        _check_document(path, content)
    _write(tmp_path / "project", files)
    _is_read(tmp_path / "project", tmp_path / "configs")


@pytest.mark.parametrize("name", template_names())
@pytest.mark.parametrize("language", ["en", "ko"])
def test_commands_in_a_readme_are_those_of_its_own_environment(name: str, language: str) -> None:
    """Bare `pip` and `torchrun` would be another Python's, or nobody's."""
    readme = _files(load_template(name), "8xh100", language)["README.md"].decode()
    bare = re.findall(r"(?:^|[`(])((?:python|pip|torchrun) (?:-|install|\w+\.py).*)", readme, re.MULTILINE)
    assert not bare


@pytest.mark.parametrize("name", template_names())
@pytest.mark.parametrize("target", _KINDS)
def test_the_korean_settings_differ_in_their_comments_alone(name: str, target: str) -> None:
    template = load_template(name)
    english, korean = (_files(template, target, language)["config.toml"].decode() for language in ("en", "ko"))
    values = [[line for line in text.splitlines() if not line.startswith("#")] for text in (english, korean)]
    assert values[0] == [line.replace('language = "ko"', 'language = "en"') for line in values[1]]
    comments = [line for line in korean.splitlines() if line.startswith("#")]
    assert [line for line in comments if not re.search("[가-힣]", line)] == []
    assert not re.search("[가-힣]", english)


@pytest.mark.parametrize("name", template_names())
def test_what_a_user_writes_changes_no_code_and_no_other_setting(tmp_path: Path, name: str) -> None:
    template = load_template(name)
    texts = [setting.name for setting in template.settings.values() if setting.type is str and not setting.choices]
    assert texts
    here = dict.fromkeys(texts, "here")
    plain = {language: _files(template, "cpu-8gb", language, chosen=here) for language in ("en", "ko")}
    (tmp_path / "configs").mkdir()
    for number, (value, language) in enumerate(product(_HOSTILE, ("en", "ko"))):
        files = _files(template, "cpu-8gb", language, f"mine {value}", dict.fromkeys(texts, value))
        assert files.keys() == plain[language].keys()
        changed = {path for path in files if files[path] != plain[language][path]}
        assert changed <= _RENDERED
        for path in changed:
            text = _own_text(path, files[path])
            assert not [marker for marker in ("{{", "{%") if marker in text], path
        before, after = (_leaves(tomllib.loads(made["config.toml"].decode())) for made in (plain[language], files))
        assert before.keys() == after.keys()
        differing = {key for key in before if before[key] != after[key]}
        assert differing
        assert {after[key] for key in differing} == {value}
        assert {before[key] for key in differing} == {"here"}
        tomllib.loads(files["pyproject.toml"].decode())
        (tmp_path / "configs" / f"{number}.toml").write_bytes(files["config.toml"])
    _write(tmp_path / "project", plain["en"])
    _is_read(tmp_path / "project", tmp_path / "configs")


def _leaves(document: Any, path: str = "") -> dict[str, Any]:
    """Every value of a document by its path."""
    if isinstance(document, dict):
        return {
            place: value for key, inner in document.items() for place, value in _leaves(inner, f"{path}.{key}").items()
        }
    return {path: document}
