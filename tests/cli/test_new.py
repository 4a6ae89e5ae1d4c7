from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.discovery.catalog import load_catalog
from scaffold.hardware import targets
from scaffold.paths import catalog_path
from scaffold.projects.template import load_templates, template_names
from tests.conftest import REPOSITORY, Answer

Scaffold = Callable[..., Answer]


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


@pytest.mark.parametrize("name", template_names())
def test_the_document_says_what_was_made(scaffold: Scaffold, in_tmp: Path, name: str) -> None:
    answer = scaffold("new", name, "내 project", "--json")
    assert answer.code == 0, answer.err
    document = answer.json
    assert document["project"] == "내 project"
    assert sorted(_tree(in_tmp / "내 project")) == document["files"]
    assert {"README.md", "config.toml", "pyproject.toml", "requirements.txt", ".gitignore"} <= set(document["files"])
    assert document["plan"]["template"] == name
    assert document["next"][0] == "cd '내 project'"
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=in_tmp / "내 project", capture_output=True, text=True, check=True
    )
    assert log.stdout == f"Start from scaffold's {name} template\n"


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", template_names())
def test_every_target_renders_into_sound_files(scaffold: Scaffold, in_tmp: Path, name: str, language: str) -> None:
    for target in targets.names():
        folder = f"{target}-{language}"
        answer = scaffold("new", name, folder, "--target", target, "--lang", language, "--no-git", "--json")
        assert answer.code == 0, answer.err
        for path, content in _tree(in_tmp / folder).items():
            text = content.decode()
            assert str(in_tmp) not in text, path
            if path.endswith(".toml"):
                tomllib.loads(text)
            elif path.endswith(".py"):
                ast.parse(text)
            elif path.endswith(".json"):
                json.loads(text)
            if not path.endswith(".py"):
                assert "{{" not in text, path
                assert "{%" not in text, path


def test_the_same_input_gives_the_same_bytes(scaffold: Scaffold, in_tmp: Path) -> None:
    for parent in ("a", "b"):
        (in_tmp / parent).mkdir()
        assert scaffold("new", "transformer", f"{parent}/project", "--no-git").code == 0
    assert _tree(in_tmp / "a" / "project") == _tree(in_tmp / "b" / "project")


def test_a_dry_run_prints_the_same_document_and_writes_nothing(scaffold: Scaffold, in_tmp: Path) -> None:
    dry = scaffold("new", "sklearn", "project", "--dry-run", "--json")
    assert dry.code == 0
    assert list(in_tmp.iterdir()) == []
    assert scaffold("new", "sklearn", "project", "--json").json == dry.json


def test_settings_reach_the_configuration(scaffold: Scaffold, in_tmp: Path) -> None:
    assert scaffold("new", "transformer", "project", "--set", "batch_size=8", "--no-git").code == 0
    config = (in_tmp / "project" / "config.toml").read_text(encoding="utf-8")
    assert "batch_size = 8" in config


def test_references_are_named_and_nothing_is_cloned(scaffold: Scaffold, in_tmp: Path) -> None:
    for count in (0, 3):
        assert scaffold("new", "gpt2", f"with-{count}", "--references", count, "--no-git").code == 0
        readme = (in_tmp / f"with-{count}" / "README.md").read_text(encoding="utf-8")
        assert len(re.findall(r"^- \[[\w.-]+/[\w.-]+\]\(https://github\.com/", readme, re.MULTILINE)) == count
    assert not (in_tmp / "references").exists()


def test_lists_that_were_synced_change_nothing_in_a_project(scaffold: Scaffold, in_tmp: Path) -> None:
    assert scaffold("new", "sklearn", "p", "--no-git").code == 0
    readme = (in_tmp / "p" / "README.md").read_text(encoding="utf-8")
    tables = [entry for entry in load_catalog(catalog_path()).entries if "tabular-data" in entry.tasks]
    projects = [f"- [{entry.title}](https://github.com/{entry.repo})" for entry in tables if entry.repo not in readme]
    for number in range(3):
        place = in_tmp / "lists" / "a" / f"awesome-tables-{number}"
        place.mkdir(parents=True)
        text = "# Awesome tables\n\n## Tabular data\n" + "\n".join(projects[number:])
        (place / "README.md").write_text(text, encoding="utf-8")
    assert scaffold("sync", "--from", in_tmp / "lists").code == 0
    (in_tmp / "p").rename(in_tmp / "first")
    assert scaffold("new", "sklearn", "p", "--no-git").code == 0
    assert (in_tmp / "p" / "README.md").read_text(encoding="utf-8") == readme


def test_korean_readme(scaffold: Scaffold, in_tmp: Path) -> None:
    for template in load_templates():
        assert scaffold("new", template.name, template.name, "--lang", "ko", "--no-git").code == 0
        readme = (in_tmp / template.name / "README.md").read_text(encoding="utf-8")
        hangul = sum("가" <= char <= "힣" for char in readme)
        assert hangul > 1000
        assert not list((in_tmp / template.name).glob("README.*.md"))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_readme_says_how_its_commands_are_typed_on_windows(scaffold: Scaffold, in_tmp: Path, language: str) -> None:
    for template in load_templates():
        assert scaffold("new", template.name, template.name, "--lang", language, "--no-git").code == 0
        readme = (in_tmp / template.name / "README.md").read_text(encoding="utf-8")
        for name in ("py -m venv .venv", r".venv\Scripts\python", "curl.exe"):
            assert f"`{name}`" in readme


def test_a_folder_that_holds_something_is_refused(scaffold: Scaffold, in_tmp: Path) -> None:
    (in_tmp / "project").mkdir()
    (in_tmp / "project" / "mine.txt").write_text("mine")
    answer = scaffold("new", "sklearn", "project")
    assert answer.code == 2
    assert "is not empty" in answer.err
    assert "--force" in answer.err
    assert _tree(in_tmp) == {"project/mine.txt": b"mine"}
    assert scaffold("new", "sklearn", "project", "--force").code == 0
    assert (in_tmp / "project" / "mine.txt").read_text() == "mine"
    assert (in_tmp / "project" / "train.py").exists()


def test_without_git_there_is_still_a_project_and_a_word_about_it(
    in_tmp: Path,
) -> None:
    # In a process of its own: GitPython remembers where it found git.
    answer = subprocess.run(
        [sys.executable, "-m", "scaffold", "new", "sklearn", "project"],
        env={**os.environ, "PATH": str(in_tmp), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    assert "git is not installed" in answer.stderr
    assert (in_tmp / "project" / "train.py").exists()
    assert not (in_tmp / "project" / ".git").exists()


def test_git_without_a_user_name_works(scaffold: Scaffold, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert scaffold("new", "sklearn", "project").code == 0
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=in_tmp / "project", capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_a_recorded_machine_is_answered_as_if_on_it(scaffold: Scaffold, in_tmp: Path) -> None:
    recording = in_tmp / "recording"
    recording.mkdir()
    (recording / "platform.json").write_text('{"os": "linux", "arch": "x86_64", "python": "3.12"}')
    (recording / "gpu.csv").write_text(
        "0, GPU-1b2c3d4e-0000-1111-2222-333344445555, NVIDIA GeForce RTX 3090, 24576, 24000, 570.12, 8.6, [N/A]\n"
    )
    document = scaffold("plan", "gpt2", "--from", recording, "--json").json
    assert (document["settings"]["device"], document["settings"]["precision"]) == ("cuda", "bf16")
    assert document["torch"]["index"] == "cu126"
    assert scaffold("hardware", "--from", recording, "--json").json["machine"]["cpu"]["logical_cores"] is None
    assert scaffold("hardware", "--from", recording, "--target", "h100").code == 2
    assert scaffold("hardware", "--from", in_tmp / "none").code == 3


@pytest.mark.parametrize("name", template_names())
def test_templates_are_listed_with_what_they_need(scaffold: Scaffold, name: str) -> None:
    rows = {row["name"]: row for row in scaffold("templates", "--json").json["templates"]}
    assert rows[name]["needs"]
    assert rows[name]["summary"]
    assert rows[name]["tasks"]
    assert name in scaffold("templates").out


def test_new_says_how_several_processes_start(scaffold: Scaffold, in_tmp: Path) -> None:
    answer = scaffold("new", "transformer", "project", "--target", "4xh100", "--no-git")
    assert "Training starts here: torchrun --standalone --nproc-per-node=4 train.py" in answer.out
    document = scaffold("new", "transformer", "two", "--target", "4xh100", "--nodes", "2", "--no-git", "--json").json
    assert document["plan"]["nodes"] == 2
    trains = [command for command in document["next"] if "train.py" in command]
    assert trains == [f".venv/bin/python -m torch.distributed.run {document['plan']['launch'].partition(' ')[2]}"]
