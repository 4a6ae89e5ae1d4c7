"""What train.py is told: where a run begins, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from config import Config, read_config
from engines import open_writer
from folders import RUNS
from models import load_pretrained
from runtime.settings import UserError
from trainer import Run

Begin = Callable[..., Run]
Change = Callable[..., Config]


def test_looking_for_a_learning_rate_touches_no_run(begin: Begin, config: Config) -> None:
    begin("scratch").train(lambda: True)
    before = {path: path.read_bytes() for path in sorted(RUNS.rglob("*")) if path.is_file()}
    assert "Suggestion: scratch.learning_rate = " in train.find_learning_rate(config, "scratch")
    after = {path: path.read_bytes() for path in sorted(RUNS.rglob("*")) if path.is_file()}
    assert after.pop(RUNS / "find-lr.png").startswith(b"\x89PNG")
    assert after == before


def test_what_the_command_line_said_holds_when_going_on(
    config: Config, text: str, with_text: Callable[[str], Config], tmp_path: Path
) -> None:
    other = with_text(text + "And more. " * 50)
    told = {"data": other.data.path, "steps": 7}
    train.begin(train.with_told(config, told), "scratch", None, told=told).train(lambda: True)
    resumed = train.resume(config, None, told={"data": None, "steps": None})
    assert (resumed.recipe.steps, resumed.config.data) == (7, other.data)
    assert train.resume(config, None, told={"steps": 9}).recipe.steps == 9
    with pytest.raises(UserError, match="training_tokens has changed"):
        train.resume(config, None, told={"data": config.data.path})


@pytest.mark.parametrize(
    ("word", "expected"),
    [("runs/scratch-2/model", "runs/scratch-2/model"), ("한글 이야기", '"한글 이야기"'), ('say "so"', "'say \"so\"'")],
)
def test_a_command_to_copy_is_quoted(word: str, expected: str) -> None:
    assert train.quoted(word) == expected


def test_a_changed_text_is_noticed_when_going_on(begin: Begin, text: str, with_text: Callable[[str], Config]) -> None:
    begin().train(lambda: True)
    with pytest.raises(UserError, match="training_tokens has changed"):
        train.resume(with_text(text + "And more. " * 50), None)


def test_fine_tuning_starts_from_the_folder(folder: Path, config: Config, tmp_path: Path) -> None:
    run = train.begin(config, str(folder), None)
    assert run.folder == Path("runs/finetune")
    assert run.recipe == config.finetuning("full")
    loaded, _ = load_pretrained(str(folder))
    assert torch.equal(run.model.transformer.wte.weight, loaded.transformer.wte.weight)
    run.save()
    assert train.begin(config, str(folder), None).folder == Path("runs/finetune-2")  # nothing is written over


def test_without_the_hub_a_new_model_is_trained(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run = train.begin(config, None, None)
    assert run.recipe == config.scratch
    said = capsys.readouterr().out
    assert "HF_HUB_OFFLINE is set" in said
    assert "a new, small GPT-2" in said
    with pytest.raises(UserError, match="--model scratch"):
        train.begin(config, "openai-community/gpt2", None)


def test_the_first_text_without_a_hub_comes_from_a_model_trained_here(config: Config, change: Change) -> None:
    assert "model runs/scratch/model by torch" in open_writer(change(config, "scratch", steps=5)).about
    made = {path: path.stat().st_mtime for path in RUNS.rglob("*")}
    open_writer(config, "scratch")  # the second time it is there
    assert {path: path.stat().st_mtime for path in RUNS.rglob("*")} == made


def test_a_shape_that_is_changed_when_going_on_is_told(
    begin: Begin, config: Config, change: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    begin().train(lambda: True)
    assert train.resume(change(config, "scratch", n_layer=3), None).model.config.n_layer == 2
    assert "note: this run's model keeps n_layer = 2; 3 in the settings" in capsys.readouterr().out
    train.resume(config, None)
    assert "keeps" not in capsys.readouterr().out


def test_a_checkpoint_of_another_program_is_refused(begin: Begin, config: Config) -> None:
    run = begin()
    run.save()
    file = run.folder / "last" / "checkpoint.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"judged"', '"other"'), encoding="utf-8")
    with pytest.raises(UserError, match="of another program"):
        train.resume(config, None)


def test_resume_without_a_run_is_refused(config: Config, begin: Begin) -> None:
    with pytest.raises(UserError, match="nothing to go on with"):
        train.resume(config, None)
    begin("there [1]").save()
    for name in ("*", "elsewhere", "/elsewhere"):
        with pytest.raises(UserError, match="nothing to go on with"):
            train.resume(config, name)
    assert train.resume(config, "there [1]").folder == RUNS / "there [1]"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--steps", "0"], "--steps must be at least 1"),
        (["--max-seconds", "nan"], "--max-seconds must be above 0"),
        (["--resume", "--model", "scratch"], "leave --model out"),
        (["--resume", "--lora"], "leave --lora out"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *arguments])
    with pytest.raises(UserError, match=complaint):
        train.parse_arguments()


def test_settings_that_do_not_go_together_are_refused(change: Change, config: Config) -> None:
    with pytest.raises(ValueError, match="name is empty"):
        change(config, "model", name="")
    with pytest.raises(ValueError, match="must be a multiple of n_head"):
        change(config, "scratch", n_head=3)


def test_the_revision_is_that_of_the_settings(config: Config, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(*wanted: Any, **_: Any) -> None:
        asked.append(wanted)
        raise UserError("not here")

    monkeypatch.setattr("models._load", ask)
    monkeypatch.setattr("models.ask_hub", ask)
    with pytest.raises(UserError, match="not here"):
        train.begin(change(config, "model", name="some/model", revision="v2"), None, None)
    assert asked == [("some/model", "v2")] * 2  # of the cache, then of the hub


def test_config_toml_is_complete_and_right() -> None:
    assert read_config(Path(__file__).parent.parent / "config.toml").scratch.n_layer > 0
