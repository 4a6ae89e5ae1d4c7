"""How to run what was cloned, in `scaffold show`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Answer
from tests.references.howto_trees import TREES
from tests.references.test_howto import build

Scaffold = Callable[..., Answer]


def _clone(folder: Path, tree: str) -> None:
    build(folder / "references" / "karpathy" / "nanoGPT", TREES[tree][0])


def test_show_says_how_a_reference_is_run(scaffold: Scaffold, in_tmp: Path) -> None:
    _clone(in_tmp, "scripts with requirements")
    out = scaffold("show", "karpathy/nanoGPT", "--offline").out
    for text in (
        "How to run",
        "builds on",
        "torch==2.2.0+cu118",
        "! sklearn is a dead name",
        "Install it (from requirements.txt)",
        "  cd references/karpathy/nanoGPT",
        "  python -m pip install -r requirements.txt",
        "  python train.py DATA --out-dir OUT_DIR",
    ):
        assert text in out
    document = scaffold("show", "karpathy/nanogpt", "--offline", "--json").json
    assert document["howto"]["kind"] == "scripts"
    assert document["howto"]["install"]["source"] == "requirements.txt"
    assert document["howto"]["hardware"]["fits"] in ("yes", "no", "unknown")


def test_what_is_not_known_is_called_unknown(scaffold: Scaffold, in_tmp: Path) -> None:
    _clone(in_tmp, "empty")
    out = scaffold("show", "karpathy/nanoGPT", "--offline").out
    assert "Its files do not say how it is installed." in out
    assert "builds on  unknown" in out
    assert "Install it" not in out


def test_show_says_nothing_of_what_is_not_here(scaffold: Scaffold, in_tmp: Path) -> None:
    answer = scaffold("show", "karpathy/nanoGPT", "--offline", "--json")
    assert answer.json["howto"] is None
    assert "How to run" not in scaffold("show", "karpathy/nanoGPT", "--offline").out


def test_what_nobody_lists_but_was_cloned_is_shown(scaffold: Scaffold, in_tmp: Path) -> None:
    build(in_tmp / "references/nobody/lists", TREES["scripts with requirements"][0])
    answer = scaffold("show", "nobody/lists", "--offline", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["sources"] == ["reference"]
    assert answer.json["howto"]["kind"] == "scripts"
