from __future__ import annotations

import argparse
import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import generate
from config import Config, GenerateConfig
from engine_hf import HfEngine, hf_text
from engines import Writer
from generate import continue_prompts
from runtime.core import Device
from runtime.settings import UserError

PROMPTS = ["The cat", "The old dog number 3 went to the market and", "T", "The heron number 11 went", "came back"]


@pytest.fixture
def write(writer: Writer, options: GenerateConfig) -> Callable[..., list[list[str]]]:
    """write(prompts, seed=1, temperature=2.0): what comes out with some options changed."""

    def written(prompts: list[str], *, seed: int = 1, **changes: Any) -> list[list[str]]:
        return continue_prompts(writer, prompts, dataclasses.replace(options, **changes), seed)

    return written


Write = Callable[..., list[list[str]]]


@pytest.fixture
def run(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """run("The cat", "--seed", "1"): generate.py with the model made for the tests and this input."""

    def ran(*arguments: str, stdin: str = "") -> int:
        monkeypatch.setattr(generate, "read_config", lambda _: config)
        monkeypatch.setattr(sys, "argv", ["generate.py", "--model", str(folder), *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        return generate.main()

    return ran


Script = Callable[..., int]
Output = pytest.CaptureFixture[str]


def test_greedy_is_the_same_text_every_time_whatever_the_seed(write: Write) -> None:
    assert write(PROMPTS, do_sample=False, seed=1) == write(PROMPTS, do_sample=False, seed=2)


def test_sampling_repeats_with_its_seed_and_differs_with_another(write: Write) -> None:
    first = write(["The cat"], seed=1)
    assert first == write(["The cat"], seed=1)
    assert first != write(["The cat"], seed=2)


@pytest.mark.filterwarnings("error:.*past_key_values:FutureWarning")
def test_dropout_is_off_while_writing_and_the_model_is_left_as_it_was(
    write: Write, model: Any, tokenizer: Any, options: GenerateConfig, dev: Device
) -> None:
    """train.py writes a sample with the model that it is training."""
    greedy = dataclasses.replace(options, do_sample=False)
    model.train()  # GPT-2's dropout is 0.1
    training = Writer(HfEngine(model, dev), hf_text(model, tokenizer), "")
    assert continue_prompts(training, ["The cat"], greedy, 1) == write(["The cat"], do_sample=False)
    assert model.training


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_each_sampling_setting_can_leave_only_the_likeliest_token(write: Write, narrow: dict[str, float]) -> None:
    assert write(["The cat"], seed=5, **narrow) == write(["The cat"], do_sample=False)


def test_top_k_zero_is_off(write: Write, model: Any) -> None:
    """Left unsaid it would be 50, transformers' own default."""
    torch.nn.init.zeros_(model.transformer.wte.weight)  # now every token is as likely as any other
    [texts] = write(["The"], max_new_tokens=40, num=10)
    assert len({piece for text in texts for piece in text}) > 60


def test_the_prompt_does_not_count_as_new_tokens(writer: Writer, options: GenerateConfig) -> None:
    prompt = PROMPTS[1] * 3
    assert len(writer.text.encode(prompt)) > 12
    pieces: list[str] = []
    [[text]] = continue_prompts(writer, [prompt], options, 1, pieces.append)
    assert len(pieces) <= 1 + 12
    assert "".join(pieces) == text
    assert not text.startswith(prompt)


def test_sampled_texts_do_not_depend_on_what_is_computed_beside_them(write: Write) -> None:
    assert write(PROMPTS, num=2) == write(PROMPTS, num=2, batch_size=1)
    assert write(PROMPTS[:1])[0] == write(PROMPTS, num=2)[0][:1]


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.01])
def test_prompts_computed_together_give_the_texts_of_each_alone(write: Write, penalty: float) -> None:
    alone = [write([prompt], do_sample=False, repetition_penalty=penalty)[0] for prompt in PROMPTS]
    assert len({texts[0] for texts in alone}) > 3  # the prompts matter
    assert write(PROMPTS, do_sample=False, repetition_penalty=penalty) == alone
    assert write(PROMPTS, do_sample=False, repetition_penalty=penalty, batch_size=2) == alone


def test_the_repetition_penalty_changes_the_text(write: Write) -> None:
    assert write(["The cat"], do_sample=False, repetition_penalty=5.0) != write(["The cat"], do_sample=False)


def test_num_texts_for_each_prompt(write: Write) -> None:
    texts = write(PROMPTS, num=3)
    assert [len(three) for three in texts] == [3] * len(PROMPTS)
    assert len({text for three in texts for text in three}) == 3 * len(PROMPTS)


def test_an_empty_prompt_begins_freely(write: Write, writer: Writer) -> None:
    [[text]] = write([""])
    assert text
    begins = dataclasses.replace(writer, text=dataclasses.replace(writer.text, begin=7))
    assert generate.prompt_rows(begins, ["", "The cat"]) == [[7], writer.text.encode("The cat")]


def test_a_prompt_that_fills_the_model_is_refused(write: Write) -> None:
    with pytest.raises(UserError, match=r"prompt 2 has 100 tokens; this model has 64 positions"):
        write(["The", "§" * 50])


def test_a_prompt_that_almost_fills_the_model_gets_what_is_left(write: Write, run: Script, capsys: Output) -> None:
    long = "§" * 30
    run(long)
    assert "prompt 1 leaves room for 4 new tokens" in capsys.readouterr().err
    together = write([long, "The cat"], do_sample=False)
    assert together[0]
    assert together[1] == write(["The cat"], do_sample=False)[0]  # its neighbour takes nothing away from it


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("repetition_penalty", 0.0),
        ("max_new_tokens", 0),
        ("num", 0),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: GenerateConfig, setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        dataclasses.replace(options, **{setting: value})


def test_the_script_prints_the_text_alone_and_tells_the_seed(run: Script, capsys: Output) -> None:
    run("The cat")
    first = capsys.readouterr()
    assert first.out.startswith("The cat")
    seed = first.err.split("seed ")[1].split()[0]
    run("The cat", "--seed", seed)
    assert capsys.readouterr().out == first.out


def test_prompts_from_a_file_keep_their_order(run: Script, capsys: Output, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\n".join([*PROMPTS, ""]), encoding="utf-8-sig")
    run("--prompts", str(tmp_path / "prompts.txt"), "--greedy", "--max-new-tokens", "1")
    lines = capsys.readouterr().out.split("--- ")[1:]
    assert [line.split("\n")[0] for line in lines] == [f"{number} of 5" for number in range(1, 6)]
    assert all(line.split("\n", 1)[1].startswith(prompt) for line, prompt in zip(lines, PROMPTS, strict=True))


def test_the_prompt_may_come_through_a_pipe(run: Script, capsys: Output) -> None:
    run("--greedy", stdin="The heron\n")
    piped = capsys.readouterr().out
    run("--greedy", "The heron")
    assert piped == capsys.readouterr().out


def test_a_terminal_sees_the_same_text_word_by_word(
    run: Script, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("The cat", "--seed", "4")
    plain = capsys.readouterr().out
    written: list[str] = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "write", lambda piece: written.append(piece) or len(piece))
    run("The cat", "--seed", "4")
    assert "".join(written) == plain
    assert len(written) > 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "there is no prompt"),
        (["x", "--temperature", "0"], "temperature must be above 0"),
        (["x", "--greedy", "--top-k", "5"], "top_k would change nothing"),
        (["x", "--greedy", "--num", "2"], "greedy writes the same text"),
        (["x", "--seed", "-1"], "--seed must be at least 0"),
        (["--prompts", "latin-1.txt"], r"latin-1.txt is not UTF-8 text \(byte 1\)"),
        (["x", "--model", "nowhere/at/all"], "no model folder nowhere/at/all"),
        (["x", "--model", "openai-community/gpt2"], "HF_HUB_OFFLINE"),
    ],
)
def test_mistakes_are_told_in_a_sentence(run: Script, arguments: list[str], complaint: str) -> None:
    Path("latin-1.txt").write_bytes("hé".encode("latin-1"))
    with pytest.raises(UserError, match=complaint):
        run(*arguments)


def test_greedy_overrules_a_configured_number_of_texts(options: GenerateConfig) -> None:
    three = dataclasses.replace(options, num=3)
    expected = dataclasses.replace(options, num=1, do_sample=False)
    assert generate.generate_options(three, argparse.Namespace(greedy=True)) == expected
