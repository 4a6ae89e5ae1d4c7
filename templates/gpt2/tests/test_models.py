from __future__ import annotations

import json
import shutil
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from transformers import GPT2Config, GPT2LMHeadModel

from config import ScratchConfig
from folders import END
from hub import HubUnreachable, hub_trouble
from models import LONG_WORD, load_pretrained, load_tokenizer, save_pretrained, train_tokenizer
from runtime.settings import UserError

ANYTHING = "한글 😀 naïve\n\tdef f(x):  # “quotes”  "


def test_the_tokenizer_gives_every_text_back(tokenizer: Any, shape: ScratchConfig) -> None:
    assert tokenizer.decode(tokenizer.encode(ANYTHING)) == ANYTHING
    assert tokenizer.encode(END) == [tokenizer.eos_token_id]
    assert len(tokenizer) == shape.vocab_size


def test_a_text_of_one_word_is_learned_from_in_parts() -> None:
    """Else each merge would double what a token holds, and finding the next one would take ever longer."""
    tokenizer = train_tokenizer(["ab" * 5000], 300)
    assert max(map(len, tokenizer.get_vocab())) <= LONG_WORD
    assert tokenizer.decode(tokenizer.encode("ab" * 5000)) == "ab" * 5000


def test_shorter_texts_are_filled_up_on_the_left(tokenizer: Any) -> None:
    """The model goes on after the last position, so that must be text."""
    masks = tokenizer(["The old dog", "The"], padding=True)["attention_mask"]
    assert 0 in masks[1]
    assert masks[1] == sorted(masks[1])


def test_a_saved_folder_is_loaded_as_it_was(folder: Path, model: Any, tokenizer: Any) -> None:
    loaded, its_tokenizer = load_pretrained(str(folder))
    tokens = torch.tensor([tokenizer.encode("The old dog")])
    assert its_tokenizer.encode(ANYTHING) == tokenizer.encode(ANYTHING)
    torch.testing.assert_close(loaded(tokens).logits.double(), model(tokens).logits, rtol=1e-3, atol=1e-3)
    assert its_tokenizer.padding_side == "left"
    assert its_tokenizer.pad_token is not None


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_fast"])
def test_gpt2s_gelu_is_computed_in_one_step_and_is_the_same(tmp_path: Path, tokenizer: Any, activation: str) -> None:
    sizes = {"vocab_size": len(tokenizer), "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}
    theirs = GPT2LMHeadModel(GPT2Config(**sizes, activation_function=activation, initializer_range=0.5)).eval()
    save_pretrained(tmp_path / "model", theirs, tokenizer)
    loaded, _ = load_pretrained(str(tmp_path / "model"))
    tokens = torch.tensor([tokenizer.encode("The old dog")])
    torch.testing.assert_close(loaded(tokens).logits, theirs(tokens).logits, rtol=1e-4, atol=1e-4)
    steps = []
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: steps.append(kept.shape), lambda kept: kept):
        loaded.transformer.h[0].mlp.act(torch.randn(3, 128, requires_grad=True))
    assert len(steps) == 1, "only what went in is kept"
    assert loaded.config.activation_function == activation, "other programs are told what the model was made with"


def test_vocab_json_and_merges_txt_are_a_tokenizer(folder: Path, tokenizer: Any) -> None:
    """GPT-2 itself was published with these two files."""
    parts = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(parts["vocab"]), encoding="utf-8")
    merges = ["#version: 0.2", *(" ".join(pair) for pair in parts["merges"])]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    loaded = load_tokenizer(str(folder))
    assert len(loaded) == len(tokenizer)
    assert loaded.encode("The old dog " + ANYTHING) == tokenizer.encode("The old dog " + ANYTHING)
    assert loaded.pad_token_id == loaded.eos_token_id == tokenizer.eos_token_id
    (folder / "config.json").unlink()  # a tokenizer alone, without a model
    assert load_tokenizer(str(folder)).encode("The old dog") == tokenizer.encode("The old dog")


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        load_pretrained(str(folder))
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        load_pretrained(str(folder))


def test_a_tokenizer_too_large_for_the_model_is_refused(folder: Path, model: Any) -> None:
    model.resize_token_embeddings(300)
    model.save_pretrained(folder)
    with pytest.raises(UserError, match="320 tokens, but its model knows only 300"):
        load_pretrained(str(folder))


def test_a_broken_folder_is_a_clear_error(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="made can't be loaded"):
        load_pretrained(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="made can't be loaded"):
        load_pretrained(str(folder))
    with pytest.raises(UserError, match="no model folder"):
        load_pretrained(str(tmp_path / "elsewhere"))
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(UserError, match="made can't be loaded"):
        load_pretrained(str(folder))


def test_the_folder_of_a_run_is_not_its_model(folder: Path) -> None:
    folder.rename(folder.with_name("model"))
    with pytest.raises(UserError, match=r"is the folder of a run; its model is .*model"):
        load_pretrained(str(folder.parent))


def test_missing_weights_are_noticed(folder: Path) -> None:
    deeper = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"n_layer": 3}
    (folder / "config.json").write_text(json.dumps(deeper), encoding="utf-8")
    with pytest.raises(UserError, match="not complete"):
        load_pretrained(str(folder))


def test_the_hub_switched_off_is_said() -> None:
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set"):
        load_pretrained("openai-community/gpt2")


@pytest.fixture
def hub_on(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return monkeypatch


def test_a_hub_that_is_not_there_or_keeps_silent_is_given_up(hub_on: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hub_on.setattr(constants, "ENDPOINT", address)
        assert "did not answer within 0.2 seconds" in (hub_trouble("some/model", seconds=0.2) or "")
    assert address in (hub_trouble("some/model") or "")


@pytest.mark.parametrize(("status", "reached"), [(200, True), (302, True), (404, True), (401, True), (503, False)])
def test_any_sensible_answer_means_that_the_hub_is_there(
    hub_on: pytest.MonkeyPatch, status: int, reached: bool
) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        hub_on.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert (hub_trouble("some/model") is None) == reached


def test_sampling_defaults_of_a_model_folder_are_not_taken_over(folder: Path, tokenizer: Any) -> None:
    model, _ = load_pretrained(str(folder))
    model.generation_config.update(do_sample=True, temperature=3.0, top_k=7)
    save_pretrained(folder, model, tokenizer)
    loaded, _ = load_pretrained(str(folder))
    assert not loaded.generation_config.do_sample
    assert loaded.generation_config.top_k is None
