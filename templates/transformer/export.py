"""The best model as ONNX, which runs without torch: `python export.py`, then `python translate.py --onnx "..."`.

Two files: reader.onnx takes a source sentence and gives what the decoder will look at; writer.onnx takes the symbol
written last and gives the scores of the next one. The loop around them is `OnnxTranslator.greedy`, in plain numpy, to
be written again in whatever language the model will serve. After the export both are loaded and translate held-out
sentences: if one comes out other than torch has it, nothing is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.extras import need

from runtime.settings import UserError, main_guard  # isort: skip (before torch: see there)

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

import decoding
from config import read_config
from data import BOS, EOS, PAD, Vocabulary, fitting
from evaluate import load_translator, split_again, translate
from runtime.checkpoints import replace_folder
from runtime.core import choose_device

if TYPE_CHECKING:
    from model import Translator

FOLDER = Path("runs/onnx")
TOLERANCE = 1e-3  # scores are computed in another order, so their last digits differ
CHECKED = 200  # held-out sentences translated both ways


class Reader(nn.Module):
    """[B, S] source -> keys and values, [N, B, H, S, W]."""

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return decoding.read(self.model, source)


class Writer(nn.Module):
    """Latest symbols and everything before them -> scores of the next ones, and the keys and values with them."""

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, symbols: Tensor, source: Tensor, keys: Tensor, values: Tensor, own_keys: Tensor, own_values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores, own = decoding.write(self.model, symbols, source, (keys, values), (own_keys, own_values))
        return scores, *own


@contextlib.contextmanager
def exportable() -> Iterator[None]:
    """Without the fused encoder layer, for which ONNX has no operator, and without the exporter's own talk."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        logging.disable(logging.NOTSET)


def write_onnx(model: Translator, vocabulary: Vocabulary, folder: Path) -> None:
    """Write reader.onnx, writer.onnx and translator.json into `folder`."""
    batch, length, written = Dim("batch", min=1), Dim("length", min=1), Dim("written", min=0)
    across, own = {1: batch, 3: length}, {1: batch, 3: written}
    source = torch.randint(BOS, len(vocabulary), (3, 5))
    with exportable():
        keys, values = decoding.read(model, source)
        begun = (keys[:, :, :, :2], values[:, :, :, :2])
        torch.onnx.export(
            Reader(model), (source,), folder / "reader.onnx", dynamo=True, external_data=False, verbose=False,
            input_names=["source"], output_names=["keys", "values"], dynamic_shapes=[{0: batch, 1: length}],
        )  # fmt: skip
        torch.onnx.export(
            Writer(model), (source[:, 0], source, keys, values, *begun), folder / "writer.onnx",
            dynamo=True, external_data=False, verbose=False,
            input_names=["symbols", "source", "keys", "values", "own_keys", "own_values"],
            output_names=["scores", "new_keys", "new_values"],
            dynamic_shapes=[{0: batch}, {0: batch, 1: length}, across, across, own, own],
        )  # fmt: skip
    about = {"max_length": model.config.max_length, "vocabulary": vocabulary.describe()}
    (folder / "translator.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


class OnnxTranslator:
    """What `write_onnx` made, run by onnxruntime."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        need("onnxruntime", "the ONNX model")
        import onnxruntime

        if not (folder / "translator.json").is_file():
            raise UserError(f"there is no ONNX model in {folder}; run export.py first")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.reader, self.writer = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in ("reader.onnx", "writer.onnx")
        )
        about = json.loads((folder / "translator.json").read_text(encoding="utf-8"))
        self.max_length, self.vocabulary = about["max_length"], Vocabulary(**about["vocabulary"])

    def greedy(self, source: Any) -> Any:
        """[B, S] -> [B, <= max_length] predictions, the same as Translator.greedy gives."""
        keys, values = self.reader.run(None, {"source": source})
        own_keys, own_values = keys[:, :, :, :0], values[:, :, :, :0]
        symbols, ended = np.full(len(source), BOS), np.zeros(len(source), dtype=bool)
        answer: list[Any] = []
        while len(answer) < self.max_length and not ended.all():
            scores, own_keys, own_values = self.writer.run(
                None,
                {
                    "symbols": symbols,
                    "source": source,
                    "keys": keys,
                    "values": values,
                    "own_keys": own_keys,
                    "own_values": own_values,
                },
            )
            symbols = np.where(ended, PAD, scores.argmax(-1))
            answer.append(symbols)
            ended |= symbols == EOS
        return np.stack(answer, axis=1)

    def translate(self, sentences: list[str]) -> list[str]:
        """Each sentence by itself. Raises UserError for one that is too long."""
        answers = []
        for sentence in sentences:
            source = np.array([self.vocabulary.encode_source(sentence)])
            if source.shape[1] > self.max_length:
                raise UserError(f"{sentence[:40]!r}... has {source.shape[1]} symbols, more than {self.max_length}")
            answers.append(self.vocabulary.decode(self.greedy(source)[0].tolist()))
        return answers


def compare(model: Translator, vocabulary: Vocabulary, folder: Path, sentences: list[str]) -> str:
    """Translate by torch and by ONNX, both one by one; raises UserError if a translation or the scores differ."""
    onnx, cpu = OnnxTranslator(folder, torch.get_num_threads()), choose_device("cpu", "fp32")
    begun = time.perf_counter()
    expected = [translate(model, vocabulary, [sentence], cpu)[0] for sentence in sentences]
    between = time.perf_counter()
    found = onnx.translate(sentences)
    ended = time.perf_counter()
    different = [pair for pair in zip(sentences, expected, found, strict=True) if pair[1] != pair[2]]
    if different:
        sentence, by_torch, by_onnx = different[0]
        raise UserError(
            f"{len(different)} of {len(sentences)} translations differ, such as that of {sentence!r}: "
            f"{by_torch!r} by torch, {by_onnx!r} by ONNX"
        )
    source = torch.tensor([vocabulary.encode_source(sentences[0])])
    with torch.inference_mode():
        gap = float(
            np.abs(onnx.reader.run(None, {"source": source.numpy()})[0] - decoding.read(model, source)[0].numpy()).max()
        )
    if gap > TOLERANCE:
        raise UserError(f"what ONNX reads differs from torch by {gap:.2g}, more than {TOLERANCE}")
    ratio = (ended - between) / (between - begun)
    return f"{len(sentences)} held-out translations are the same; ONNX took {ratio:.2f} x the time of torch"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the best model as ONNX and check it against torch.")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/best"))
    options = parser.parse_args()
    for module in ("onnx", "onnxscript", "onnxruntime"):
        need(module, "python export.py")
    config = read_config(options.config)
    model, vocabulary = load_translator(options.checkpoint, choose_device("cpu", "fp32"))
    pairs = fitting(split_again(config).heldout, vocabulary, model.config.max_length)
    sentences = [source for source, _ in pairs][:CHECKED]
    with replace_folder(FOLDER) as folder:
        write_onnx(model, vocabulary, folder)
        print(compare(model, vocabulary, folder, sentences))
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in sorted(FOLDER.glob("*.onnx")))
    print(f"{FOLDER}: {sizes}")
    print('next: python translate.py --onnx "a sentence"')


if __name__ == "__main__":
    main_guard(main)
