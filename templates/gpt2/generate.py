"""Let a GPT-2 go on with a text: `python generate.py "Once upon a time"`. `--help` lists what can be changed."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.settings import UserError, main_guard

# isort: split
import numpy as np

from config import ENGINES, GenerateConfig, read_config
from decoding import decode
from engines import Writer, open_writer, tell


def continue_prompts(
    writer: Writer,
    prompts: Sequence[str],
    options: GenerateConfig,
    seed: int,
    show: Callable[[str], object] | None = None,
) -> list[list[str]]:
    """For every prompt `options.num` continuations, without the prompt. An empty prompt lets the model begin freely.

    Prompts are computed together, `options.batch_size` at a time, and each gets the text that it would get alone.
    `show` is called with the first text's pieces as they come. Raises UserError for a prompt that fills all of the
    model's positions.
    """
    rows = prompt_rows(writer, prompts)
    rooms = rooms_after(rows, writer.engine.positions)
    texts: dict[int, list[str]] = {}
    for group in _groups(rooms, options):
        batch = [rows[index] for index in group for _ in range(options.num)]
        drawers = [np.random.default_rng([seed, index, number]) for index in group for number in range(options.num)]
        few = min(min(rooms[index] for index in group), options.max_new_tokens)
        limited = dataclasses.replace(options, max_new_tokens=few)
        pieces = Pieces(writer, show) if show else None
        written = decode(writer.engine, batch, limited, drawers, writer.text.ends, pieces)
        if pieces:
            pieces(written[0], last=True)
        continuations = [writer.text.decode(ids) for ids in written]
        for place, index in enumerate(group):
            texts[index] = continuations[place * options.num : (place + 1) * options.num]
    return [texts[index] for index in range(len(prompts))]


def prompt_rows(writer: Writer, prompts: Sequence[str]) -> list[list[int]]:
    """The prompts as token ids. An empty one becomes the token between two texts: what follows it is a beginning."""
    return [writer.text.encode(prompt) or [writer.text.begin] for prompt in prompts]


def rooms_after(rows: Sequence[Sequence[int]], positions: int) -> list[int]:
    """How many tokens each prompt leaves room for in the model's positions. Raises UserError when it is none."""
    rooms = [positions - len(row) for row in rows]
    for number, room in enumerate(rooms, 1):
        if room < 1:
            raise UserError(
                f"prompt {number} has {positions - room} tokens; this model has {positions} positions for prompt and "
                f"new text together, so a prompt may have at most {positions - 1}"
            )
    return rooms


def _groups(rooms: Sequence[int], options: GenerateConfig) -> list[list[int]]:
    """Indices of the prompts that are computed together: of like length, so that little padding is computed."""
    order, size = sorted(range(len(rooms)), key=lambda index: rooms[index]), options.batch_size
    alone = [index for index in order if rooms[index] < options.max_new_tokens]  # they would take the others' room
    together = order[len(alone) :]
    return [together[start : start + size] for start in range(0, len(together), size)] + [[i] for i in alone]


class Pieces:
    """Shows a text bit by bit as its tokens come. A letter may take several tokens; it waits until it is whole."""

    def __init__(self, writer: Writer, show: Callable[[str], object]) -> None:
        self.writer, self.show, self.shown = writer, show, 0

    def __call__(self, ids: Sequence[int], *, last: bool = False) -> None:
        """Show what `ids`, all tokens so far, hold beyond what was shown before."""
        text = self.writer.text.decode(ids)
        if last or not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self.show(text[self.shown :])
            self.shown = len(text)


def read_prompts(arguments: argparse.Namespace) -> list[str]:
    """The prompts from the command line, a file with one on each line, or standard input. Raises UserError."""
    if arguments.prompts:
        try:
            lines = arguments.prompts.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise UserError(f"{arguments.prompts} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
        prompts = [line for line in lines if line.strip()]
        if not prompts:
            raise UserError(f"{arguments.prompts} holds no prompts; write one on each line")
        return prompts
    if arguments.prompt not in (None, "-"):
        return [arguments.prompt]
    text = "" if arguments.prompt is None and sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    if not text:
        raise UserError('there is no prompt; try: python generate.py "Once upon a time"')
    return [text]


def generate_options(config: GenerateConfig, arguments: argparse.Namespace) -> GenerateConfig:
    """config.toml's [generate] with the command line's changes. Raises UserError for values that make no sense."""
    given = {field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(config)}
    try:
        return config.steered(
            {key: value for key, value in given.items() if value is not None}, greedy=arguments.greedy
        )
    except ValueError as error:
        raise UserError(str(error)) from None


def print_texts(prompts: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Print every prompt with its continuations; a line above each tells them apart when there are several."""
    pairs = [(prompt, text) for prompt, continuations in zip(prompts, texts, strict=True) for text in continuations]
    for number, (prompt, text) in enumerate(pairs, 1):
        if len(pairs) > 1:
            print(f"--- {number} of {len(pairs)}")
        print(prompt + text)


EXAMPLES = """examples:
  python generate.py "Once upon a time"                         a text, another one every time
  python generate.py "Once upon a time" --num 3 --seed 1        three texts, the same ones every time
  python generate.py "Once upon a time" --greedy                no chance involved
  python generate.py "Once upon a time" --temperature 1.2 --top-p 0.9
  python generate.py --prompts prompts.txt --max-new-tokens 40  one prompt on each line, computed together

What is not said here stands in config.toml, and README.md explains it."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Let a GPT-2 go on with a text.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("prompt", nargs="?", help="the text to go on with; - or nothing reads standard input")
    source.add_argument("--prompts", type=Path, metavar="FILE", help="a file with one prompt on each line")
    parser.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE", help="other settings")
    choice = parser.add_argument_group("how the next token is chosen")
    choice.add_argument("--max-new-tokens", type=int, metavar="N", help="how many tokens to add at most")
    choice.add_argument("--greedy", action="store_true", help="always the likeliest token: the same text every time")
    choice.add_argument("--temperature", type=float, metavar="T", help="below 1 safer, above 1 wilder")
    choice.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest tokens; 0 is off")
    choice.add_argument("--top-p", type=float, metavar="P", help="choose among the likeliest that make up P; 1 is off")
    choice.add_argument("--repetition-penalty", type=float, metavar="R", help="above 1: avoid what was said; 1 is off")
    choice.add_argument("--num", type=int, metavar="N", help="texts for each prompt")
    choice.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text")
    model = parser.add_argument_group("what writes")
    model.add_argument("--model", metavar="NAME", help="a folder, a hub id such as openai-community/gpt2, or scratch")
    model.add_argument("--revision", metavar="NAME", help="branch, tag or commit of a hub model")
    model.add_argument("--engine", choices=ENGINES, help="what computes it; auto is the fastest that is ready")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if arguments.seed is not None and arguments.seed < 0:
        raise UserError(f"--seed must be at least 0, not {arguments.seed}")
    config = read_config(arguments.config)
    options = generate_options(config.generate, arguments)
    prompts = read_prompts(arguments)
    writer = open_writer(config, arguments.model, arguments.revision, options.engine)
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    tell(f"{writer.about}; " + (f"seed {seed}" if options.do_sample else "greedy"))
    for number, room in enumerate(rooms_after(prompt_rows(writer, prompts), writer.engine.positions), 1):
        if room < options.max_new_tokens:
            tell(f"note: prompt {number} leaves room for {room} new tokens in this model")
    if sys.stdout.isatty() and len(prompts) * options.num == 1:
        print(prompts[0], end="", flush=True)
        continue_prompts(writer, prompts, options, seed, lambda piece: print(piece, end="", flush=True))
        print()
    else:
        print_texts(prompts, continue_prompts(writer, prompts, options, seed))
    return 0


if __name__ == "__main__":
    main_guard(main)
