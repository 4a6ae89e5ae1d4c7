"""The ONNX model translates word for word like torch, and is not kept when it doesn't."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from conftest import SMALL

from data import PAD, Vocabulary
from evaluate import translate
from model import Translator
from runtime.core import choose_device
from runtime.settings import UserError

for module in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(module)

import export  # noqa: E402

CPU = choose_device("cpu", "fp32")
WORDS = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
Made = tuple[Translator, Vocabulary, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A model with random weights that says different things, its vocabulary and its ONNX files."""
    torch.manual_seed(0)
    vocabulary = Vocabulary.build([(word, word[::-1]) for word in WORDS], SMALL.data)
    model = Translator(dataclasses.replace(SMALL.model, tied_head=False), len(vocabulary)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 1 + (weight.dim() > 1)  # steep enough to end some sentences, and others not
    folder = tmp_path_factory.mktemp("onnx")
    export.write_onnx(model, vocabulary, folder)
    return model, vocabulary, folder


def test_onnx_translates_like_torch(made: Made) -> None:
    model, vocabulary, folder = made
    sentences = [*WORDS[:6], "a", "abcdefghabcdefg"]
    expected = translate(model, vocabulary, sentences, CPU)
    assert len(set(expected)) > 4
    assert export.OnnxTranslator(folder).translate(sentences) == expected
    assert "8 held-out translations are the same" in export.compare(model, vocabulary, folder, sentences)
    source = torch.tensor([vocabulary.encode_source("abc"), [*vocabulary.encode_source("a"), PAD, PAD]])
    assert export.OnnxTranslator(folder).greedy(source.numpy()).tolist() == model.greedy(source).tolist()


def test_other_weights_are_noticed(made: Made) -> None:
    _, vocabulary, folder = made
    torch.manual_seed(1)
    other = Translator(dataclasses.replace(SMALL.model, tied_head=False), len(vocabulary)).eval()
    with pytest.raises(UserError, match=r"\d+ of 64 translations differ, such as that of"):
        export.compare(other, vocabulary, folder, WORDS)


def test_other_scores_are_noticed_where_the_translations_are_the_same(made: Made) -> None:
    model, vocabulary, folder = made
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight *= 1.001
    assert export.OnnxTranslator(folder).translate(["a"]) == translate(other, vocabulary, ["a"], CPU)
    with pytest.raises(UserError, match="what ONNX reads differs"):
        export.compare(other, vocabulary, folder, ["a"])


def test_what_is_missing_or_too_long_is_said(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run export\.py first"):
        export.OnnxTranslator(tmp_path)
    with pytest.raises(UserError, match="more than 16"):
        export.OnnxTranslator(made[2]).translate(["a" * 16])
