"""Let a GPT-2 go on with a text: `python generate.py "Once upon a time"`. `--help` lists what can be changed."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from settings import UserError, main_guard  # isort: skip (before torch: see there)

import torch
from transformers import GenerationConfig, TextStreamer

from config import Config, GenerateConfig, read_config
from models import SCRATCH, HubUnreachable, load_pretrained
from runtime import Device, autocast, choose_device, seed_everything, set_threads

RUNS = Path("runs")


def continue_prompts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    options: GenerateConfig,
    dev: Device,
    streamer: TextStreamer | None = None,
) -> list[list[str]]:
    """For every prompt `options.num` continuations, without the prompt. An empty prompt lets the model begin freely.

    Prompts are computed together, `options.batch_size` at a time, and each gets the text that it would get alone.
    Raises UserError for a prompt that fills all of the model's positions.
    """
    rooms = rooms_after(model, tokenizer, prompts)
    texts: dict[int, list[str]] = {}
    for group in _groups(rooms, options):
        # An empty prompt becomes the token that stands between two texts: what follows it is a beginning.
        batch = [prompts[index] or tokenizer.eos_token for index in group]
        room = min(rooms[index] for index in group)
        settings = sampling_settings(model, tokenizer, options, min(room, options.max_new_tokens))
        continuations = _continue_batch(model, tokenizer, batch, settings, dev, streamer)
        for place, index in enumerate(group):
            texts[index] = continuations[place * options.num : (place + 1) * options.num]
    return [texts[index] for index in range(len(prompts))]


def rooms_after(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[int]:
    """How many tokens each prompt leaves room for in the model's positions. Raises UserError when it is none."""
    limit = model.config.max_position_embeddings
    rooms = [limit - max(1, len(ids)) for ids in tokenizer(list(prompts), verbose=False)["input_ids"]]
    for number, room in enumerate(rooms, 1):
        if room < 1:
            raise UserError(
                f"prompt {number} has {limit - room} tokens; this model has {limit} positions for prompt and new text "
                f"together, so a prompt may have at most {limit - 1}"
            )
    return rooms


def _groups(rooms: Sequence[int], options: GenerateConfig) -> list[list[int]]:
    """Indices of the prompts that are computed together: of like length, so that little padding is computed."""
    order, size = sorted(range(len(rooms)), key=lambda index: rooms[index]), options.batch_size
    alone = [index for index in order if rooms[index] < options.max_new_tokens]  # they would take the others' room
    together = order[len(alone) :]
    return [together[start : start + size] for start in range(0, len(together), size)] + [[i] for i in alone]


def sampling_settings(model: Any, tokenizer: Any, options: GenerateConfig, max_new_tokens: int) -> GenerationConfig:
    """What generate() is told. Everything is said: what is left out would come from a default or the model's folder."""
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens,  # max_length would count the prompt too
        do_sample=options.do_sample,
        repetition_penalty=options.repetition_penalty,
        num_return_sequences=options.num,
        num_beams=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=model.generation_config.eos_token_id,
    )
    if options.do_sample:  # without it the next three would be ignored
        settings.update(temperature=options.temperature, top_k=options.top_k, top_p=options.top_p)
    return settings


@torch.inference_mode()
def _continue_batch(
    model: Any,
    tokenizer: Any,
    prompts: list[str],
    settings: GenerationConfig,
    dev: Device,
    streamer: TextStreamer | None,
) -> list[str]:
    # Shorter prompts are filled up on the left (see load_tokenizer); the attention mask says which positions are text.
    batch = tokenizer(prompts, padding=True, return_tensors="pt").to(dev.device)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    training = model.training
    model.eval()  # no dropout
    with autocast(dev):
        output = model.generate(ids, attention_mask=mask, generation_config=settings, streamer=streamer)
    model.train(training)
    return tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)


def open_model(config: Config, name: str | None, revision: str | None) -> tuple[Any, Any, str]:
    """(model, tokenizer, where from). Where config.toml's model can't be had, a small one made here steps in."""
    wanted = name or config.model.name
    if wanted != SCRATCH:
        try:
            return *load_pretrained(wanted, config.model.revision if revision is None else revision), wanted
        except HubUnreachable as trouble:
            if name:  # asked for by name: nothing else will do
                raise UserError(f"{trouble}. Without --model a small GPT-2 made on this machine answers") from None
            _tell(f"{trouble}.")
    made = sorted(RUNS.glob(f"{SCRATCH}*/model/config.json"), key=lambda file: file.stat().st_mtime)
    if made:
        folder = made[-1].parent
    else:
        from train import train_from_scratch  # here, because train.py needs this module

        _tell("So this machine now trains a small GPT-2 of its own, once; that takes one to three minutes.")
        folder = train_from_scratch(config)
    return *load_pretrained(str(folder)), str(folder)


def read_prompts(arguments: argparse.Namespace) -> list[str]:
    """The prompts from the command line, a file with one on each line, or standard input. Raises UserError."""
    if arguments.prompts:
        prompts = [line for line in arguments.prompts.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
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
    changes = {key: value for key, value in given.items() if value is not None}
    sampling = sorted({"temperature", "top_k", "top_p"} & changes.keys())
    if arguments.greedy:
        if sampling:
            flag = sampling[0].replace("_", "-")
            raise UserError(f"--greedy always takes the likeliest token: --{flag} would change nothing")
        changes = {"num": 1} | changes | {"do_sample": False}
    elif sampling:
        changes["do_sample"] = True
    try:
        return dataclasses.replace(config, **changes)
    except ValueError as error:
        raise UserError(str(error)) from None


def print_texts(prompts: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Print every prompt with its continuations; a line above each tells them apart when there are several."""
    pairs = [(prompt, text) for prompt, continuations in zip(prompts, texts, strict=True) for text in continuations]
    for number, (prompt, text) in enumerate(pairs, 1):
        if len(pairs) > 1:
            print(f"--- {number} of {len(pairs)}")
        print(prompt + text)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Let a GPT-2 go on with a text; see also config.toml.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("prompt", nargs="?", help="the text to go on with; - or nothing reads standard input")
    source.add_argument("--prompts", type=Path, metavar="FILE", help="a file with one prompt on each line")
    parser.add_argument("--model", help="a model folder, a hub id such as openai-community/gpt2, or scratch")
    parser.add_argument("--revision", help="branch, tag or commit of a hub model")
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="how many tokens to add at most")
    parser.add_argument("--greedy", action="store_true", help="always the likeliest token: the same text every time")
    parser.add_argument("--temperature", type=float, metavar="T", help="below 1 safer, above 1 wilder")
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest tokens; 0 is off")
    parser.add_argument("--top-p", type=float, metavar="P", help="choose among the likeliest that make up P; 1 is off")
    parser.add_argument("--repetition-penalty", type=float, metavar="R", help="above 1: avoid what was said; 1 is off")
    parser.add_argument("--num", type=int, metavar="N", help="texts for each prompt")
    parser.add_argument("--seed", type=int, help="the same seed gives the same text")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    config = read_config(arguments.config)
    options = generate_options(config.generate, arguments)
    prompts = read_prompts(arguments)
    set_threads(config.machine.threads)
    dev = choose_device(config.machine.device, config.machine.precision, tf32=config.machine.tf32)
    model, tokenizer, origin = open_model(config, arguments.model, arguments.revision)
    model.to(dev.device)
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    seed_everything(seed)
    how = f"seed {seed}" if options.do_sample else "greedy"
    _tell("; ".join(filter(None, [f"model {origin} on {dev.device.type} in {dev.precision}, {how}", dev.note])))
    for number, room in enumerate(rooms_after(model, tokenizer, prompts), 1):
        if room < options.max_new_tokens:
            _tell(f"note: prompt {number} leaves room for {room} new tokens in this model")
    if sys.stdout.isatty() and len(prompts) * options.num == 1:
        print(prompts[0], end="", flush=True)
        streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        continue_prompts(model, tokenizer, prompts, options, dev, streamer)
    else:
        print_texts(prompts, continue_prompts(model, tokenizer, prompts, options, dev))
    return 0


if __name__ == "__main__":
    main_guard(main)
