"""The commands as a person types them, from a folder with a blank and 한글 in its name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import evaluate
import train
import translate
from config import read_config
from evaluate import split_again
from runtime.settings import main_guard

PROJECT = Path(__file__).parent.parent
SMALL = {
    "file": '"pairs.tsv"',
    "tokenizer": '"character"',
    "d_model": "32",
    "heads": "4",
    "encoder_layers": "1",
    "decoder_layers": "1",
    "feedforward": "64",
    "max_length": "16",
    "steps": "30",
    "batch_size": "16",
    "grad_accumulation": "1",
    "metric": '"exact"',
    "device": '"cpu"',
    "precision": '"fp32"',
    "compile": "false",
    "workers": "0",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with small settings and a few pairs."""
    folder = tmp_path / "내 project"
    folder.mkdir()
    lines = (PROJECT / "config.toml").read_text(encoding="utf-8").splitlines()
    keys = [line.partition(" =")[0] for line in lines]
    lines = [f"{key} = {SMALL[key]}" if key in SMALL else line for key, line in zip(keys, lines, strict=True)]
    (folder / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    pairs = "".join(f"{a}{b}\t{b}{a}\n" for a in "abcdefgh" for b in "abcdefgh")
    (folder / "pairs.tsv").write_text(pairs, encoding="utf-8")
    return folder


def run(folder: Path, script: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROJECT / script, *arguments],
        cwd=folder,
        input=typed,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """call(module, arguments...) -> (exit code, stdout, stderr), without the seconds that a new Python takes."""
    monkeypatch.chdir(folder)

    def main(module: ModuleType, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        with pytest.raises(SystemExit) as exit_:
            main_guard(module.main)
        return int(exit_.value.code or 0), *capsys.readouterr()

    return main


def test_train_resume_translate_and_judge(folder: Path, call: Call) -> None:
    code, said, _ = call(train, "--max-seconds", "0.000001", "--steps", "25")
    assert code == 0
    assert "step 1 of 25; go on with: python train.py --resume --steps 25" in said
    told = re.search(r"of (\d+), (\d+) pairs each, \d+ at a time: every pair (\S+) times", said)
    pairs = re.search(r"data: (\d+) pairs to learn from", said)
    assert told
    assert pairs
    assert float(told[3]) == pytest.approx(int(told[1]) * int(told[2]) / int(pairs[1]), rel=0.01)
    code, said, _ = call(train, "--resume")
    assert code == 0
    assert "exact match" in said.split("held-out: ")[1]
    assert (folder / "runs" / "curves.png").stat().st_size > 1000
    judged = (folder / "runs" / "heldout.tsv").read_text(encoding="utf-8")
    assert call(evaluate)[1].strip() in said
    assert (folder / "runs" / "heldout.tsv").read_text(encoding="utf-8") == judged
    held_out = split_again(read_config(folder / "config.toml")).heldout
    assert [tuple(line.split("\t")[:2]) for line in judged.splitlines()[1:]] == held_out

    typed = run(folder, "translate.py", "ab", "cz")
    assert (typed.returncode, len(typed.stdout.splitlines())) == (0, 2), typed.stderr
    assert "never seen in training: z" in typed.stderr
    assert run(folder, "translate.py", typed="ab\n\ncz\n").stdout == typed.stdout
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbfab\r\n\r\ncz")
    assert call(translate, "--file", "list.txt")[1] == typed.stdout
    (folder / "list.txt").write_text("a\u2028b\x0b\n", encoding="utf-8")  # one line, whatever Unicode says
    assert len(call(translate, "--file", "list.txt")[1].splitlines()) == 1
    (folder / "list.txt").write_bytes("가".encode("cp949"))
    assert call(translate, "--file", "list.txt")[2] == "error: list.txt is not UTF-8 text; save it as UTF-8\n"


@pytest.mark.parametrize(
    ("module", "arguments", "complaint"),
    [
        (translate, ["ab"], "there is no checkpoint"),
        (train, ["--resume"], "there is no checkpoint"),
        (train, ["--config", "nowhere.toml"], "nowhere.toml does not exist"),
        (train, ["--steps", "0"], "--steps must be at least 1"),
        (train, ["--max-seconds", "nan"], "--max-seconds must be above 0"),
    ],
)
def test_a_mistake_is_one_line(call: Call, module: ModuleType, arguments: list[str], complaint: str) -> None:
    code, _, error = call(module, *arguments)
    assert code == 1
    assert error.startswith("error: ")
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_a_missing_data_file_is_one_line(folder: Path, call: Call) -> None:
    (folder / "pairs.tsv").unlink()
    assert call(train) == (1, "", "error: pairs.tsv: No such file or directory\n")
