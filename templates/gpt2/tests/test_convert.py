"""The copies in 8 bits: what they cost, when they are used, and when they are not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import convert
from config import Config
from data import read_documents
from engines import COPIES, Writer, choose_engine, exact_writer, open_writer, writer_from
from folders import copy_place, has_copy
from runtime.settings import UserError
from split import hold_out
from trainer import Run


@pytest.fixture(params=["int8", "onnx"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    return str(request.param)


@pytest.fixture(scope="module")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned something: rounding off what is random anyway would tell nothing."""
    torch.set_num_threads(1)
    run = Run(config, config.scratch, tmp_path_factory.mktemp("runs") / "trained")
    run.train(lambda: False)
    return run.folder / "model"


@pytest.fixture
def exact(trained: Path, config: Config, tmp_path: Path) -> Writer:
    shutil.copytree(trained, tmp_path / "model")
    return exact_writer(tmp_path / "model", config)


def test_a_copy_of_a_trained_model_writes_almost_as_well(exact: Writer, config: Config, kind: str) -> None:
    found = convert.convert(exact, kind, config)
    assert abs(found.loss) < 1
    assert found.same_next > 0.95
    assert found.tokens > 100
    assert len(found.alike) > 1
    assert "perplexity" in str(found)


def test_perplexity_is_that_of_the_models_own_loss(exact: Writer, config: Config) -> None:
    from models import load_pretrained

    rows = convert.held_out_rows(exact, config)
    model, _ = load_pretrained(str(exact.folder))
    expected = np.mean([model(torch.tensor([row]), labels=torch.tensor([row])).loss.item() for row in rows])
    found = convert.compare(exact.engine, exact.engine, rows, config)
    assert found.perplexity == pytest.approx(np.exp(expected), rel=1e-4)
    assert found.loss == 0
    assert found.same_next == 1
    assert set(found.alike) == {max(found.alike)}


def test_the_copy_is_judged_on_text_that_training_has_not_seen(exact: Writer, config: Config) -> None:
    split = hold_out(read_documents(config.data.path), config.data.validation_share, config.train.seed)
    judged = "".join(map(exact.text.decode, convert.held_out_rows(exact, config)))
    assert judged in "\n\n".join(split.held_out)
    assert judged not in "\n\n".join(split.training)


def test_a_copy_that_loses_too_much_is_refused_and_not_kept(exact: Writer, config: Config, kind: str) -> None:
    with pytest.raises(UserError, match="was not kept"):
        convert.convert(exact, kind, config, most_loss=-50.0)
    assert not copy_place(exact.folder, kind).exists()
    convert.convert(exact, kind, config)
    before = {file.name: file.stat().st_mtime_ns for file in copy_place(exact.folder, kind).iterdir()}
    with pytest.raises(UserError, match="was not kept"):
        convert.convert(exact, kind, config, most_loss=float("nan"))
    assert {file.name: file.stat().st_mtime_ns for file in copy_place(exact.folder, kind).iterdir()} == before


def test_a_copy_is_used_from_then_on_until_the_model_changes(
    exact: Writer, config: Config, kind: str, change: Callable[..., Config]
) -> None:
    folder = exact.folder
    assert "by torch on cpu in fp32" in open_writer(config, str(folder)).about
    convert.convert(exact, kind, config)
    assert COPIES[kind] in open_writer(config, str(folder)).about
    assert "by torch on cpu in fp32" in open_writer(config, str(folder), engine="torch").about
    assert choose_engine("auto", folder, change(config, "machine", device="cuda").machine) == "torch"
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert not has_copy(folder, kind)
    assert "by torch on cpu in fp32" in open_writer(config, str(folder)).about


def test_onnx_runtime_is_taken_before_torch_and_only_where_it_is(
    exact: Writer, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    for one in COPIES:
        convert.convert(exact, one, config)
    assert choose_engine("auto", exact.folder, config.machine) == "onnx"
    monkeypatch.setattr("engines.find_spec", lambda name: None)
    assert choose_engine("auto", exact.folder, config.machine) == "int8"


def test_asking_for_an_engine_makes_its_copy_once(
    exact: Writer, config: Config, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = [5, 9, 200, 31]
    scores = writer_from(exact.folder, config, kind).engine.score_all(row)
    assert "perplexity" in capsys.readouterr().err
    monkeypatch.setattr(convert, "convert", None)
    np.testing.assert_array_equal(writer_from(exact.folder, config, kind).engine.score_all(row), scores)
    apart = np.abs(scores - exact.engine.score_all(row)).max()
    assert 0 < apart < 0.1 * np.abs(scores).max()


def test_another_kind_of_model_is_not_converted(folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(text.replace('"gelu"', '"relu"'), encoding="utf-8")
    with pytest.raises(UserError, match="no GPT-2"):
        open_writer(config, str(folder), engine="int8")
    monkeypatch.setattr(convert, "read_config", lambda _: config)
    monkeypatch.setattr(sys, "argv", ["convert.py", "--model", str(folder)])
    with pytest.raises(UserError, match="only a GPT-2"):
        convert.main()


def test_the_script_makes_and_reports(
    exact: Writer, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "read_config", lambda _: config)
    monkeypatch.setattr(sys, "argv", ["convert.py", "--model", str(exact.folder), "--to", "int8"])
    assert convert.main() == 0
    said = capsys.readouterr().out
    assert "in 8 bits (" in said
    assert f"kept in {copy_place(exact.folder, 'int8')}" in said


def test_8_bit_numbers_stand_for_the_matrix() -> None:
    pytest.importorskip("onnx")
    from onnx_graph import BLOCK, eight_bits

    matrix = np.random.default_rng(1).normal(0, 1, (BLOCK + 5, 7)).astype(np.float32)
    matrix[:BLOCK, 3] = 0  # a block of zeros has no largest number to divide by
    numbers, scales = eight_bits(matrix)
    back = ((numbers.astype(np.float32) - 128) * scales[:, :, None]).reshape(7, -1)[:, : BLOCK + 5].T
    assert np.abs(back - matrix).max() <= np.abs(matrix).max() / 127 / 2 * 1.01
    assert numbers.min() >= 1
