"""How a repository is run, read from small ones of many kinds: the whole answer, and unknown rather than a guess."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from scaffold.hardware.machine import GIB, Accelerator, Machine, Memory
from scaffold.references.howto import HowTo, read_howto
from scaffold.references.howto.model import Way
from scaffold.references.howto.pins import pin_flags
from scaffold.references.howto.requirements import Needs, parse_requirements
from tests.references.howto_trees import TREES

LAPTOP = Machine(os="linux", memory=Memory(total_bytes=16 * GIB))
PYTHON = (3, 12)


def build(folder: Path, files: dict[str, str]) -> Path:
    """The files of a repository, each text without its common indentation."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text.removeprefix("\n")) if text.startswith("\n") else text, "utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def with_card(gigabytes: float) -> Machine:
    return replace(LAPTOP, accelerators=(Accelerator("nvidia", "NVIDIA X", int(gigabytes * GIB)),))


def short(howto: HowTo) -> dict[str, Any]:
    """All that is known, in as few words as a test can be read in; what is unknown is left out."""
    hardware = howto.hardware
    answer: dict[str, Any] = {
        "name": howto.name,
        "install": _way(howto.install) if howto.install else None,
        "alternatives": [_way(way) for way in howto.alternatives],
        "usage": [command.text for command in howto.usage],
        "example": list(howto.example),
        "scripts": [script.command for script in howto.scripts],
        "notebooks": [(item.path, item.language, item.colab, item.gpu) for item in howto.notebooks],
        "frameworks": [(item.name, item.wanted, item.source) for item in howto.frameworks],
        "expects_cuda": hardware.expects_cuda,
        "reasons": [reason.text for reason in hardware.reasons],
        "memory": [(hint.kind, hint.least_bytes // GIB, hint.most_bytes // GIB) for hint in hardware.memory],
        "flags": [f"{flag.kind}: {flag.text}" for flag in howto.flags],
        "skipped": [item.path for item in howto.skipped],
    }
    python = howto.python
    known = {key: value for key, value in answer.items() if value}
    if python.wanted:
        known["python"] = (python.wanted, python.source, python.enforced, python.fits)
    if hardware.needs_cuda is not None:
        known["needs_cuda"] = hardware.needs_cuda
    if hardware.fits != "unknown":
        known["fits"] = hardware.fits
    return {"kind": howto.kind, **known}


def _way(way: Way) -> list[str]:
    return [way.tool, way.source, *(command.text for command in way.commands)]


@pytest.mark.parametrize("name", TREES)
def test_the_whole_answer(name: str, tmp_path: Path) -> None:
    files, expected = TREES[name]
    howto = read_howto(build(tmp_path / "repo", files), python=PYTHON, machine=LAPTOP)
    assert short(howto) == expected
    document = howto.to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["kind"] == expected["kind"]


def test_every_fact_names_its_file(tmp_path: Path) -> None:
    for number, (files, _) in enumerate(TREES.values()):
        howto = read_howto(build(tmp_path / str(number), files), python=PYTHON, machine=None)
        ways = [way for way in (howto.install, *howto.alternatives) if way]
        sources = [command.source for way in ways for command in way.commands]
        sources += [item.source for item in (*howto.usage, *howto.frameworks, *howto.hardware.reasons)]
        sources += [flag.source for flag in howto.flags if flag.source] + [howto.python.source or "."]
        assert all((tmp_path / str(number) / source).exists() for source in sources)


def test_without_a_machine_nothing_is_said_of_it(tmp_path: Path) -> None:
    files, _ = TREES["only a README"]
    hardware = read_howto(build(tmp_path / "repo", files), python=PYTHON).hardware
    assert (hardware.needs_cuda, hardware.fits, hardware.why) == (True, "unknown", None)


@pytest.mark.parametrize(
    ("machine", "fits"),
    [
        (LAPTOP, "no"),
        (with_card(8), "no"),
        (with_card(23.6), "yes"),
        (with_card(80), "yes"),
        (replace(LAPTOP, accelerators=(Accelerator("amd", "AMD X", 48 * GIB),)), "unknown"),
        (replace(LAPTOP, accelerators=(Accelerator("apple", "M4", 64 * GIB, unified=True),)), "no"),
        (replace(LAPTOP, accelerators=(Accelerator("nvidia", "NVIDIA X"),)), "unknown"),
    ],
)
def test_a_machine_fits_by_its_card(machine: Machine, fits: str, tmp_path: Path) -> None:
    files, _ = TREES["only a README"]
    hardware = read_howto(build(tmp_path / "repo", files), python=PYTHON, machine=machine).hardware
    assert hardware.fits == fits
    assert hardware.why


@pytest.mark.parametrize(("card", "fits"), [(0.5, "no"), (4, "unknown"), (10, "yes")])
def test_between_the_smallest_and_the_largest_figure_it_depends(card: float, fits: str, tmp_path: Path) -> None:
    files, _ = TREES["a table of memory"]
    assert read_howto(build(tmp_path / "r", files), python=PYTHON, machine=with_card(card)).hardware.fits == fits


@pytest.mark.parametrize(
    "sentence",
    [
        "We trained on 8 A100 GPUs with 80GB of memory each.",
        "The dataset takes 300 GB of disk space and some memory.",
        "A GPU is recommended.",
        "This does not require a lot of GPU memory, about 2 GB.",
        "It needs 3 friends.",
        "If your GPU has less than 24GB of VRAM, use fewer layers.",
    ],
)
def test_a_sentence_that_asks_for_nothing_is_no_demand(sentence: str, tmp_path: Path) -> None:
    hardware = read_howto(build(tmp_path / "r", {"README.md": sentence, "main.py": "import torch\n"}), python=PYTHON)
    assert hardware.hardware.memory == ()
    assert hardware.hardware.needs_cuda is None


@pytest.mark.parametrize(
    ("sentence", "kind", "least", "most"),
    [
        ("Training requires at least 16 GB of GPU memory.", "gpu", 16, 16),
        ("Inference needs 8-12GB VRAM.", "gpu", 8, 12),
        ("至少需要 24GB 显存。", "gpu", 24, 24),
        ("최소 8GB의 VRAM이 필요합니다.", "gpu", 8, 8),
        ("You need 32 GB of RAM.", "main", 32, 32),
    ],
)
def test_memory_in_words(sentence: str, kind: str, least: int, most: int, tmp_path: Path) -> None:
    (hint,) = read_howto(build(tmp_path / "r", {"README.md": sentence}), python=PYTHON).hardware.memory
    assert (hint.kind, hint.least_bytes, hint.most_bytes) == (kind, least * GIB, most * GIB)


@pytest.mark.parametrize(
    ("line", "python", "kind"),
    [
        ("numpy==1.21.6", (3, 12), "needs-build"),
        ("numpy==1.26.4", (3, 12), None),
        ("numpy==1.26.4", (3, 13), "needs-build"),
        ("numpy<1.26", (3, 12), "needs-build"),
        ("numpy<1.27", (3, 12), None),
        ("numpy>=1.20", (3, 12), None),
        ("numpy", (3, 12), None),
        ("numpy==1.0", (3, 99), None),
        ("torch==1.13.1+cu117", (3, 12), "no-install"),
        ("torch~=2.1.0", (3, 12), "no-install"),
        ("torch~=2.1", (3, 12), None),
        ("torch>=1.8,<2", (3, 11), None),
        ("torch>=1.8,<2", (3, 12), "no-install"),
        ("tensorflow", (3, 14), "no-install"),
        ("tensorflow==1.15", (3, 11), "no-install"),
        ("tensorflow==2.15", (3, 12), "no-install"),
        ("opencv-python==3.4.18.65", (3, 13), None),
        ("opencv-python==4.1.2.30", (3, 11), "needs-build"),
        ("gym==0.21.0", (3, 12), "no-install"),
        ("gym==0.26.2", (3, 12), None),
        ("gym", (3, 12), None),
        ("transformers==4.19.2", (3, 12), "needs-build"),
        ("unheard-of==0.0.1", (3, 12), None),
    ],
)
def test_a_pin_that_no_longer_installs(line: str, python: tuple[int, int], kind: str | None) -> None:
    flags = pin_flags(parse_requirements(line, "requirements.txt", python).needed, python)
    assert [flag.kind for flag in flags] == ([kind] if kind else [])


def test_the_table_of_pins_is_whole() -> None:
    import tomllib

    import scaffold.references.howto.pins as module

    facts = tomllib.loads(Path(module.__file__).with_suffix(".toml").read_text("utf-8"))
    assert len(facts["packages"]) > 40
    for name, fact in facts["packages"].items():
        assert isinstance(fact["builds"], bool), name
        for python, first in fact["first"].items():
            needs = Needs()
            needs.add(f"{name}=={first}" if first != "none" else name, "x", (3, int(python.partition(".")[2])))
            flags = pin_flags(needs.needed, (3, int(python.partition(".")[2])))
            assert bool(flags) == (first == "none"), (name, python)


def test_a_requirement_for_another_python_does_not_count() -> None:
    text = "torch==1.8; python_version < '3.8'\nnumpy==2.1.0; python_version >= '3.10'\n"
    assert [item.text for item in parse_requirements(text, "x", PYTHON).needed] == ["numpy==2.1.0"]
