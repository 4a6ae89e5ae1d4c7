"""Make a copy of the model that writes faster on a CPU: `python convert.py`. generate.py takes it from then on.

The copy's matrices are in 8 bits. What that costs is measured against the model itself on text that is held out, and a
copy that loses too much is not kept. It is made anew when the model has changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from runtime.settings import UserError, main_guard

# isort: split
from config import Config, read_config
from data import read_documents
from decoding import Engine, Scores, decode
from engines import COPIES, Writer, exact_writer, open_copy, open_writer
from folders import MADE_FROM, WEIGHTS, copy_place, fingerprint, read_shape
from runtime.checkpoints import replace_folder
from runtime.extras import need
from split import hold_out

MOST_LOSS = 3.0  # percent of perplexity
WINDOW, WINDOWS = 128, 16  # tokens of held-out text that are judged: 16 pieces of 128
GREEDY_TEXTS, GREEDY_TOKENS = 5, 40


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What the 8 bits cost."""

    tokens: int  # of held-out text that both were judged on
    perplexity: float  # of the model itself
    copy_perplexity: float
    same_next: float  # share of the tokens after which both find the same token likeliest
    alike: tuple[int, ...]  # for each greedy text, how many tokens both write alike before they part

    @property
    def loss(self) -> float:
        """By how many percent the copy's perplexity is higher."""
        return (self.copy_perplexity / self.perplexity - 1) * 100

    def __str__(self) -> str:
        return (
            f"on {self.tokens:,} tokens of held-out text: perplexity {self.perplexity:.2f} in fp32, "
            f"{self.copy_perplexity:.2f} in 8 bits ({self.loss:+.2f} %); the likeliest next token is the same after "
            f"{self.same_next:.1%} of them\n"
            f"greedy texts, both alike for so many of {GREEDY_TOKENS} tokens: {', '.join(map(str, self.alike))}"
        )


def compare(engine: Engine, copy: Engine, rows: Sequence[Sequence[int]], config: Config) -> Comparison:
    """Both on the same rows of tokens."""
    losses, same = ([], []), []
    for row in rows:
        one, other = engine.score_all(row), copy.score_all(row)
        losses[0].append(surprises(one, row))
        losses[1].append(surprises(other, row))
        same.append(one.argmax(axis=1) == other.argmax(axis=1))
    before, after = (float(np.exp(np.concatenate(both).mean())) for both in losses)
    return Comparison(
        tokens=sum(map(len, losses[0])),
        perplexity=before,
        copy_perplexity=after,
        same_next=float(np.concatenate(same).mean()),
        alike=compare_greedy(engine, copy, rows[:GREEDY_TEXTS], config),
    )


def compare_greedy(engine: Engine, copy: Engine, rows: Sequence[Sequence[int]], config: Config) -> tuple[int, ...]:
    """How many tokens both write alike after the first few of each row."""
    openings = [list(row[: max(1, min(8, len(row) // 2))]) for row in rows]
    room = min(GREEDY_TOKENS, engine.positions - len(openings[0]))
    greedy = dataclasses.replace(config.generate, do_sample=False, num=1, repetition_penalty=1.0, max_new_tokens=room)
    nothing = [np.random.default_rng(0)] * len(openings)  # greedy draws no random numbers
    texts, copies = (decode(it, openings, greedy, nothing, ends=()) for it in (engine, copy))
    return tuple(int(np.cumprod(np.equal(*pair)).sum()) for pair in zip(texts, copies, strict=True))


def surprises(scores: Scores, row: Sequence[int]) -> Scores:
    """The loss at each token of a row but the first, from the scores after every token."""
    scores = scores[:-1].astype(np.float64)
    highest = scores.max(axis=1, keepdims=True)
    whole = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
    return whole - scores[np.arange(len(scores)), row[1:]]


def held_out_rows(writer: Writer, config: Config) -> list[list[int]]:
    """Pieces of the text that training never learns from, as token ids. Raises UserError when it is too short."""
    split = hold_out(read_documents(config.data.path), config.data.validation_share, config.train.seed)
    ids = writer.text.encode("\n\n".join(split.held_out))
    size = min(WINDOW, writer.engine.positions)
    rows = [ids[start : start + size] for start in range(0, len(ids) - size + 1, size)]
    if not rows:
        raise UserError(f"the held-out text has {len(ids)} tokens; judging a copy takes at least {size}")
    return rows[:: -(-len(rows) // WINDOWS)]


def convert(writer: Writer, kind: str, config: Config, most_loss: float = MOST_LOSS) -> Comparison:
    """Make the copy of a kind (onnx or int8) of the model that `writer`, an exact one, has; and judge it.

    Raises UserError when it loses more than `most_loss` percent of perplexity; an older copy then stays as it was.
    """
    for module in ("onnx", "onnxruntime") if kind == "onnx" else ():
        need(module, "a copy for ONNX Runtime")
    folder, rows = writer.folder, held_out_rows(writer, config)
    with replace_folder(copy_place(folder, kind)) as fresh:
        made_from = fingerprint(folder)  # first, so that a model that is exchanged meanwhile counts as another one
        write_copy(kind, fresh, writer)
        found = compare(writer.engine, open_copy(kind, fresh, folder, writer.text, config.machine), rows, config)
        if not found.loss <= most_loss:
            raise UserError(
                f"{found}\nThat is more than the {most_loss:g} % that may be lost, so the copy was not kept. Go on "
                f"with --engine torch, which loses nothing, or try another kind of copy (convert.py --to); "
                f"--most-loss says how much you accept"
            )
        facts = {"made_from": made_from, **dataclasses.asdict(found)}
        (fresh / MADE_FROM).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return found


def write_copy(kind: str, place: Path, writer: Writer) -> None:
    """Write the files of a copy into a folder."""
    from engine_torch import load_weights

    shape = read_shape(writer.folder)
    weights = load_weights(writer.folder, writer.text.size)
    if kind == "int8":
        from engine_int8 import FILE, write_int8

        write_int8(place / FILE, weights, shape)
    else:
        from engine_onnx import FILE
        from onnx_graph import write_graph

        write_graph(
            place / FILE, {name: weight.float().numpy() for name, weight in weights.items()}, shape, eight_bits=True
        )


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a copy of the model that writes faster on a CPU.")
    parser.add_argument("--model", help="a model folder, a hub id, or scratch (default: config.toml's)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub model")
    parser.add_argument("--to", choices=COPIES, help="for ONNX Runtime, or for torch (default: the former if there)")
    parser.add_argument("--most-loss", type=float, default=MOST_LOSS, metavar="PERCENT", help="default: %(default)s")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    arguments = parser.parse_args()
    config = read_config(arguments.config)
    kind = arguments.to or ("onnx" if find_spec("onnxruntime") and find_spec("onnx") else "int8")
    folder = open_writer(config, arguments.model, arguments.revision, "torch").folder
    if folder is None:
        raise UserError(f"only a GPT-2 in {WEIGHTS} with a tokenizer.json can be converted")
    print(f"making a copy in 8 bits ({kind}) and judging it; for GPT-2 itself that takes about a minute", flush=True)
    print(convert(exact_writer(folder, config), kind, config, arguments.most_loss))
    megabytes = [size_of(place) / 1e6 for place in (folder, copy_place(folder, kind))]
    print(f"kept in {copy_place(folder, kind)}: {megabytes[1]:,.0f} MB beside {megabytes[0]:,.0f}")
    print("python generate.py takes it from now on; --engine torch writes with the model itself")
    return 0


if __name__ == "__main__":
    main_guard(main)
