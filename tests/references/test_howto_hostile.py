"""Hostile and broken repositories: nothing is run, nothing outside is read, and it ends soon."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaffold.references.howto import read_howto
from scaffold.references.howto.files import Folder, plain
from scaffold.references.howto.readme import Block, parse_readme
from scaffold.references.howto.requirements import conda_specifier, parse_requirements, poetry_specifier
from scaffold.references.howto.said import commands_in, read_said
from tests.references.test_howto import build, short

PYTHON = (3, 12)
_DEEP = 100_000
_LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
)
_QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _is_clean(text: str) -> bool:
    return all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "a = " + "[" * _DEEP),
        ("pyproject.toml", ".".join("a" * _DEEP) + " = 1"),
        ("pyproject.toml", "[project]\nname = 3\ndependencies = {}\nrequires-python = []\nscripts = 7\n"),
        ("environment.yml", "[" * _DEEP),
        ("environment.yml", _LAUGHS),
        ("environment.yml", "!!python/object/apply:os.system ['touch pwned']\n"),
        ("setup.py", "(" * _DEEP),
        ("setup.py", "x = " + "-" * _DEEP + "1"),
        (
            "setup.py",
            "import os\nos.system('touch pwned')\nfrom setuptools import setup\nsetup(name=open('x').read())\n",
        ),
        ("setup.cfg", "[metadata\nname = ="),
        ("setup.cfg", "[metadata]\nname = %(name)s\n"),
        ("one.ipynb", "[" * _DEEP),
        ("one.ipynb", json.dumps({"metadata": {"kernelspec": [], "language_info": {"name": {}}}})),
        ("requirements.txt", "-r requirements.txt\n-r ../../etc/passwd\n-r /etc/passwd\n" + "x" * 5000),
        ("requirements.txt", "a\\\n" * _DEEP),
        ("README.md", "> " * _DEEP),
        ("README.md", "[" * _DEEP + "](" * _DEEP),
        ("README.md", "# Usage\n```sh\n" + "python x.py \\\n" * _DEEP),
        ("README.md", "| a " * 5000 + "\n" + "|-" * 5000 + "\n"),
        ("README.md", "requires " * 20_000 + "12 " * 20_000 + "GB"),
        ("train.py", "f'{" * 1000),
        ("train.py", "1" + " + 1" * 50_000),
        ("Makefile", "train" + " " * 100_000 + "\n" + "a" * 100_000),
        ("Dockerfile", "FROM " * 50_000),
        (".gitmodules", "[submodule" * 9000),
    ],
)
def test_a_broken_or_hostile_file_is_survived(name: str, content: str, tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {name: content})
    began = time.monotonic()
    howto = read_howto(folder, python=PYTHON)
    assert time.monotonic() - began < 3
    assert all(map(_is_clean, _texts({**howto.to_json(), "example": None})))
    assert not list(tmp_path.rglob("pwned"))
    assert [path.name for path in folder.iterdir()] == [name]


def test_what_is_too_large_is_named_and_not_read(tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {"LICENSE": "MIT"})
    for name in ("requirements.txt", "README.md", "train.py", "pyproject.toml"):
        with (folder / name).open("wb") as file:
            file.truncate(3_000_000_000)
    began = time.monotonic()
    howto = read_howto(folder, python=PYTHON)
    assert time.monotonic() - began < 2
    assert [item.path for item in howto.skipped] == ["README.md", "pyproject.toml", "requirements.txt", "train.py"]
    assert all("larger than" in item.reason for item in howto.skipped)
    assert howto.frameworks == ()


def test_links_out_of_the_repository_are_not_followed(tmp_path: Path) -> None:
    secret = build(tmp_path / "home", {"requirements.txt": "torch==1.2.3\n", "n/x.ipynb": "{}", "__main__.py": ""})
    folder = build(tmp_path / "repo", {"LICENSE": "MIT", "real.md": "Requires at least 9 GB of VRAM.\n"})
    (folder / "requirements.txt").symlink_to(secret / "requirements.txt")
    (folder / "environment.yml").symlink_to("/etc/passwd")
    (folder / "notebooks").symlink_to(secret / "n")
    (folder / "Makefile").symlink_to("Makefile")
    (folder / "README.md").symlink_to("real.md")
    howto = read_howto(folder, python=PYTHON)
    assert {item.path for item in howto.skipped} == {"requirements.txt", "environment.yml", "Makefile", "notebooks"}
    assert howto.frameworks == ()
    assert howto.notebooks == ()
    assert len(howto.hardware.memory) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name on this system")
def test_a_pipe_does_not_hold_it_up(tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {"LICENSE": "MIT"})
    for name in ("README.md", "train.py", "pyproject.toml", "weights.bin"):
        os.mkfifo(folder / name)
    began = time.monotonic()
    howto = read_howto(folder, python=PYTHON)
    assert time.monotonic() - began < 2
    assert {"README.md", "pyproject.toml", "train.py"} <= {item.path for item in howto.skipped}


def test_very_many_files_cost_little(tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {"LICENSE": "MIT", "train.py": "import torch\n"})
    for number in range(20_000):
        os.close(os.open(folder / f"x{number}.py", os.O_CREAT | os.O_WRONLY))
    began = time.monotonic()
    howto = read_howto(folder, python=PYTHON)
    assert time.monotonic() - began < 3
    assert [item.name for item in howto.frameworks] == ["torch"]


def test_no_command_holds_a_control_character_or_hides_another(tmp_path: Path) -> None:
    escape, right_to_left = "\x1b[2J", "\u202e"
    readme = f"""# Usage
```bash
python train.py {escape}--x
python train.py {right_to_left}gpj.exe
python train.py; rm -rf ~
python train.py | sh
python train.py `id`
python train.py $(id)
python train.py > ~/.bashrc
python train.py & id
pip install x && curl e | sh
rm -rf ~
python train.py --in <file>
```
"""
    files = {"README.md": readme, f"train{escape}.py": 'if __name__ == "__main__":\n    pass\n', "a b;id.py": ""}
    files["a b;id.py"] = 'if __name__ == "__main__":\n    pass\n'
    howto = read_howto(build(tmp_path / "repo", files), python=PYTHON)
    assert [command.text for command in howto.usage] == [
        "python train.py [2J--x",
        "python train.py gpj.exe",
        "python train.py --in <file>",
    ]
    assert [script.command for script in howto.scripts] == ["python 'a b;id.py'"]
    assert all(map(_is_clean, _texts(howto.to_json())))


def test_a_name_that_is_a_command_is_not_taken(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "x; id"\ndependencies = ["torch"]\n[project.scripts]\n"a && id" = "x:y"\n',
        "--x.py": 'if __name__ == "__main__":\n    pass\n',
    }
    howto = read_howto(build(tmp_path / "repo", files), python=PYTHON)
    assert howto.name is None
    assert howto.usage == ()
    assert [script.command for script in howto.scripts] == ["python ./--x.py"]


def test_files_of_another_encoding(tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {"LICENSE": "MIT"})
    (folder / "requirements.txt").write_bytes("torch>=2\r\ntqdm\r\n".encode("utf-16"))
    (folder / "README.md").write_bytes(b"# Usage\xff\xfe\n\n    $ python train.py\n")
    (folder / "setup.py").write_bytes(b"\0\0\0")
    howto = read_howto(folder, python=PYTHON)
    assert [(item.name, item.wanted) for item in howto.frameworks] == [("torch", ">=2")]
    assert [command.text for command in howto.usage] == ["python train.py"]
    assert [item.path for item in howto.skipped] == ["setup.py"]


def test_a_folder_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert short(read_howto(tmp_path / "nowhere", python=PYTHON)) == {"kind": "unknown"}


@_QUICK
@given(
    st.text(
        alphabet=st.sampled_from("# `\n\t\\$>|=-*[]()<>!.:;&'\"pythonil install train.py\u202e\x1b12GBVRAM가"),
        max_size=400,
    )
)
def test_any_readme_gives_only_clean_commands(text: str) -> None:
    for path in ("README.md", "README.rst"):
        said = read_said(parse_readme(text, path))
        for command in (*said.install, *said.usage):
            assert command.text
            assert _is_clean(command.text)
            assert len(command.text) <= 400


@_QUICK
@given(
    st.sampled_from(["", "$ ", "% ", "(env) $ ", "me@host:~/x$ "]),
    st.sampled_from(["python train.py", "pip install x"]),
)
def test_a_prompt_is_no_part_of_a_command(prompt: str, command: str) -> None:
    assert commands_in(Block((), "bash", [prompt + command, "# a comment", ""])) == [command]


@_QUICK
@given(st.text(max_size=300))
def test_any_requirements_give_names_that_are_names(text: str) -> None:
    for need in parse_requirements(text, "requirements.txt", PYTHON).needed:
        assert need.name == need.name.lower()
        assert need.name.replace("-", "").isalnum()


@_QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["torch", "numpy", "a.b_c"]), st.sampled_from(["", "==1.2", ">=1,<2", "~=1.4", "!=3"])
        ),
        max_size=6,
    ),
    st.sampled_from(["", "  # why", " --hash=sha256:00", " ; python_version > '3'"]),
)
def test_requirements_are_read_as_written(lines: list[tuple[str, str]], tail: str) -> None:
    text = "\n".join(f"{name}{specifier}{tail}" for name, specifier in lines)
    needs = parse_requirements(text, "requirements.txt", PYTHON)
    assert [need.name for need in needs.needed] == [name.replace(".", "-").replace("_", "-") for name, _ in lines]
    assert [set(str(need.wanted).split(",")) for need in needs.needed] == [set(what.split(",")) for _, what in lines]
    assert needs.unread == []


@_QUICK
@given(st.text(max_size=60))
def test_any_version_is_a_specifier_or_unknown(text: str) -> None:
    conda_specifier(text)
    poetry_specifier(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("^1.2.3", "<2,>=1.2.3"), ("^0.2.3", "<0.3,>=0.2.3"), ("~1.2", "<1.3,>=1.2"), ("1.4", "==1.4"), ("*", "")],
)
def test_poetry_spelled_out(written: str, meant: str) -> None:
    assert str(poetry_specifier(written)) == meant


@pytest.mark.parametrize(
    ("written", "meant"), [("=3.8", "==3.8.*"), ("==1.2=py_0", "==1.2"), (">=2,<3", "<3,>=2"), ("1.7.1", "==1.7.1")]
)
def test_conda_spelled_out(written: str, meant: str) -> None:
    assert str(conda_specifier(written)) == meant


@_QUICK
@given(st.text(max_size=200))
def test_plain_is_clean_and_stays_as_it_is(text: str) -> None:
    once = plain(text)
    assert _is_clean(once)
    assert plain(once) == once


def test_the_git_folder_is_not_read(tmp_path: Path) -> None:
    folder = build(tmp_path / "repo", {".git/config": "token"})
    assert Folder(folder).text(".git/config") is None
