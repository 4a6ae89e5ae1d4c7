"""Where a model is found, which engine computes it, and what has to be loaded for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import folders
from config import Config
from convert import write_copy
from engine_hf import HfEngine
from engine_torch import TorchEngine
from engines import exact_writer, find_device, hf_writer, open_copy, open_writer, writer_from
from folders import RUNS, find_folder, read_shape, read_text
from models import load_pretrained, save_pretrained
from runtime.checkpoints import save_checkpoint
from runtime.findings import FILE, WIDTHS, Findings, keep
from runtime.settings import UserError

PROJECT = Path(folders.__file__).parent


def rewrite(file: Path, **changes: Any) -> None:
    document = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(document), encoding="utf-8")


def in_the_hub_cache(folder: Path, home: Path, name: str = "some/model") -> Path:
    """The folder as the hub's own library keeps what it has brought."""
    cache = home / "hub" / f"models--{name.replace('/', '--')}"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc123", encoding="ascii")
    shutil.copytree(folder, cache / "snapshots" / "abc123")
    return cache / "snapshots" / "abc123"


def test_a_gpt2_is_computed_by_this_project_and_another_kind_by_transformers(
    folder: Path, config: Config, tokenizer: Any, tmp_path: Path
) -> None:
    own = writer_from(folder, config)
    rewrite(folder / "config.json", scale_attn_by_inverse_layer_idx=True)
    other = open_writer(config, str(folder))
    assert isinstance(own.engine, TorchEngine)
    assert isinstance(other.engine, HfEngine)
    assert "by torch on cpu in fp32" in own.about
    assert "by transformers on cpu in fp32" in other.about
    text = "The old dog “went” 한글"
    assert own.text.encode(text) == other.text.encode(text) == tokenizer.encode(text)
    assert own.text.decode(own.text.encode(text)) == other.text.decode(other.text.encode(text)) == text
    assert own.text.ends == other.text.ends == {tokenizer.eos_token_id}
    ended = [tokenizer.eos_token_id, *own.text.encode(text), tokenizer.eos_token_id]
    assert own.text.decode(ended) == other.text.decode(ended) == text
    assert own.text.begin == other.text.begin == tokenizer.eos_token_id
    assert own.text.size == other.text.size == len(tokenizer)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_pytorch_tanh", "gelu", "relu"])
def test_both_give_the_same_scores(folder: Path, config: Config, activation: str) -> None:
    rewrite(folder / "config.json", activation_function=activation, layer_norm_epsilon=0.1)
    assert (read_shape(folder) is None) == (activation == "relu")  # which is left to transformers
    own = open_writer(config, str(folder)).engine.score_all([3, 1, 4, 1, 5])
    theirs = hf_writer(*load_pretrained(str(folder)), config.machine, "").engine.score_all([3, 1, 4, 1, 5])
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-3)


def test_weights_as_openai_published_them_are_read_too(folder: Path, config: Config) -> None:
    expected = writer_from(folder, config).engine.score_all([3, 1, 4])
    weights = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("transformer."): weight for name, weight in weights.items() if name != "lm_head.weight"}
    bare["h.0.attn.bias"] = np.tril(np.ones((1, 1, 64, 64), np.float32))
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    assert (writer_from(folder, config).engine.score_all([3, 1, 4]) == expected).all()


@pytest.mark.parametrize("kind", ["torch", "int8", "onnx"])
def test_a_head_that_is_not_the_embedding_is_used(
    kind: str, model: Any, tokenizer: Any, config: Config, tmp_path: Path
) -> None:
    if kind == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    save_pretrained(tmp_path / "apart", model, tokenizer)
    expected = HfEngine(model, find_device(config.machine, 32)).score_all([3, 1, 4])
    own = writer_from(tmp_path / "apart", config, "torch")
    if kind != "torch":
        (tmp_path / "copy").mkdir()
        write_copy(kind, tmp_path / "copy", own)
    place = tmp_path / "copy"
    engine = own.engine if kind == "torch" else open_copy(kind, place, tmp_path / "apart", own.text, config.machine)
    np.testing.assert_allclose(engine.score_all([3, 1, 4]), expected, atol=0.05 * np.abs(expected).max())


def test_writing_goes_by_what_was_measured_and_an_exact_writer_does_not(
    folder: Path, config: Config, change: Callable[..., Config]
) -> None:
    figures = {
        f"step {name} core {width}": speed for width in WIDTHS for name, speed in (("fp32", 10.0), ("bf16", 30.0))
    }
    keep(Findings(figures, ""), RUNS / FILE)
    measured = change(config, "machine", probe=True)
    writer = writer_from(folder, measured)
    assert "in bf16" in writer.about
    assert writer.engine.tokens.dtype == torch.bfloat16
    assert exact_writer(folder, measured).engine.tokens.dtype == torch.float32


def test_of_several_small_models_the_newest_answers(folder: Path) -> None:
    for time, name in enumerate(["scratch-2", "scratch", "scratch-3"], 1):
        shutil.copytree(folder, RUNS / name / "model")
        os.utime(RUNS / name / "model" / "config.json", (time, time))
    os.utime(RUNS / "scratch-2" / "model" / "config.json", (9, 9))
    assert folders.newest_made() == RUNS / "scratch-2" / "model"


def test_a_models_own_tokens_end_its_texts(folder: Path) -> None:
    rewrite(folder / "generation_config.json", eos_token_id=[5, 9])
    assert read_text(folder).ends == {5, 9}
    assert load_pretrained(str(folder))[0].generation_config.eos_token_id == [5, 9]


def test_a_training_checkpoint_is_read_too(folder: Path, model: Any, config: Config) -> None:
    """Of the embedding and the head, which are the same, it holds one, under either's name."""
    expected = writer_from(folder, config).engine.score_all([3, 1, 4])
    (folder / "model.safetensors").unlink()
    save_checkpoint(folder.with_name("last"), model=model, step=1, extra={})
    (folder.with_name("last") / "model.safetensors").rename(folder / "model.safetensors")
    assert "transformer.wte.weight" not in load_file(folder / "model.safetensors")
    assert (writer_from(folder, config).engine.score_all([3, 1, 4]) == expected).all()


def test_a_hub_model_is_found_in_the_cache(
    folder: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert find_folder("some/model") is None
    snapshot = in_the_hub_cache(folder, tmp_path / "home")
    assert find_folder("some/model") == find_folder("some/model", "abc123") == snapshot
    assert find_folder("some/model", "other") is None
    assert find_folder("../model") is None
    assert open_writer(config, "some/model").about.startswith("model some/model by torch")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.delenv("HF_HOME")
    assert find_folder("some/model") == snapshot


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"nothing"), "can't be loaded"),
        (lambda folder: _without(folder, "transformer.h.1.mlp.c_fc.bias"), r"h\.1\.mlp\.c_fc\.bias is missing"),
        (lambda folder: _without(folder, "transformer.wte.weight"), r"wte\.weight is missing"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer of .* can't be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(folder: Path, config: Config, damage: Any, complaint: str) -> None:
    damage(folder)
    with pytest.raises(UserError, match=complaint):
        open_writer(config, str(folder))


def _without(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_tokenizer_for_a_larger_model_is_refused(folder: Path, config: Config) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"][:300]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="320 tokens, but its model knows only 300"):
        writer_from(folder, config)


def test_an_empty_tokenizer_is_refused(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    document["model"] |= {"vocab": {}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UserError, match="has no tokenizer"):
        read_text(folder)


LIGHT = """
import sys, generate, engines
assert not {'torch', 'onnxruntime'} & set(sys.modules), '--help must load no engine'
import config
settings = config.read_config(config.Path(sys.argv[1]))
engines.open_writer(settings, sys.argv[2], engine=sys.argv[3]).engine.start([[1, 2]], 3)
heavy = {'transformers', 'torch._dynamo', 'onnx', *sys.argv[4:]}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("name", "engine", "needless"),
    [
        ("runs/scratch/model", "torch", ["huggingface_hub"]),
        ("runs/scratch/model", "onnx", ["huggingface_hub", "torch", "safetensors"]),
        ("", "torch", []),  # the hub's model, which can't be had here: the small one steps in
    ],
)
def test_writing_loads_nothing_that_takes_longer_than_writing(
    folder: Path, config: Config, name: str, engine: str, needless: list[str]
) -> None:
    shutil.copytree(folder, "runs/scratch/model")
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
        open_writer(config, name, engine=engine)
    answer = subprocess.run(
        [sys.executable, "-c", LIGHT, str(PROJECT / "config.toml"), name, engine, *needless],
        env=os.environ | {"PYTHONPATH": str(PROJECT), "HF_HUB_CACHE": "nothing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
