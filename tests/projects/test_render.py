from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaffold.errors import ScaffoldError
from scaffold.hardware.targets import load
from scaffold.projects.plan import Plan, make_plan
from scaffold.projects.render import render, slug, toml_value
from scaffold.projects.template import Template


def _plan(template: Template, **chosen: str) -> Plan:
    return make_plan(template, load("cpu-8gb"), "cpu-8gb", chosen)


def _files(template: Template, language: str = "en", name: str = "my-project", **chosen: str) -> dict[str, bytes]:
    return render(template, _plan(template, **chosen), name=name, language=language, references=[])


def test_code_is_copied_and_j2_files_are_rendered(small: Template) -> None:
    files = _files(small)
    assert sorted(files) == [".gitignore", "README.md", "common.py", "config.toml", "tests/test_it.py", "train.py"]
    assert files["train.py"] == (small.folder / "train.py").read_bytes()
    assert files["README.md"].decode() == "# my-project: Small\npart for my-project\n"


def test_the_korean_readme_replaces_the_english_one(small: Template) -> None:
    assert _files(small, "ko")["README.md"].decode() == "# my-project: 작은 것 읽어 보세요\n"


def test_the_same_input_gives_the_same_bytes(small: Template) -> None:
    assert _files(small) == _files(small)


@pytest.mark.parametrize(
    "value",
    ['"', "'", "\\", "a\nb", "tab\t", "{{ 7 * 7 }}", "{% raw %}", "🙂", "${HOME}", "\x00\x1b[31m", "한글" * 500],
)
def test_a_setting_changes_no_structure(small: Template, value: str) -> None:
    rendered = _files(small, title=value)["config.toml"].decode()
    assert tomllib.loads(rendered) == {"title": value, "batch": 64}
    assert "{{" not in rendered
    assert "{%" not in rendered


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text())
def test_any_text_survives_toml(text: str) -> None:
    assert tomllib.loads(f"value = {toml_value(text)}") == {"value": text}


@pytest.mark.parametrize("value", [True, False, 0, -3, 1.5, 3e-4, 1e20, ["a", 1], ""])
def test_plain_values_survive_toml(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("My Project", "my-project"), ("한글", "project"), ("a/b..c", "a-b-c"), ("Ünï", "uni"), ("--", "project")],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_a_project_is_never_called_like_what_it_installs(small: Template) -> None:
    (small.folder / "pyproject.toml.j2").write_text("name = {{ project.slug | toml }}\n")
    for name, expected in (("torch", "torch-project"), ("NumPy", "numpy-project"), ("mine", "mine")):
        assert tomllib.loads(_files(small, name=name)["pyproject.toml"].decode())["name"] == expected


@pytest.mark.parametrize(
    "payload",
    [
        "{{ project.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('touch sentinel') }}",
        "{{ settings | attr('__class__') }}",
        "{{ '%s'.__format__ }}",
        "{{ '{0.__class__}'.format(settings) }}",
        "{{ settings.clear() }}",
        "{% include '../../outside.txt' %}",
        "{% include '/etc/passwd' %}",
        "{{ undefined_name }}",
        "{{ broken ",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_a_template_can_reach_nothing_but_its_data(small: Template, payload: str, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    (small.folder / "config.toml.j2").write_text(payload)
    with pytest.raises(ScaffoldError):
        _files(small)
    assert not Path("sentinel").exists()


def test_python_in_templates_is_real_python(small: Template) -> None:
    for name, content in _files(small, title="'; import os").items():
        if name.endswith(".py"):
            ast.parse(content)
