"""The model as a small web service: `python serve.py`, then send a prompt to /generate.

It listens on this computer only, unless you say otherwise, and asks nobody for a password: put it behind something
that does before others can reach it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import queue
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.settings import UserError, main_guard

# isort: split
from config import ENGINES, Config, GenerateConfig, read_config
from engines import Writer, open_writer
from generate import continue_prompts, prompt_rows, rooms_after
from runtime.service import answer_requests, new_app, read_arguments

MOST_BYTES = 100_000  # of a request
MOST_NEW_TOKENS = 1000
MOST_TEXTS = 8
MOST_WAITING = 16  # requests; whoever comes next is asked to come later
BUSY = "too many requests wait; try again later"


class Busy(Exception):
    """Too many requests wait already."""


class Desk:
    """Lets one request at a time have the model, for two would only slow each other down; the others queue up."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.turn = threading.Lock()
        self.places = threading.BoundedSemaphore(MOST_WAITING)

    def write(
        self, prompt: str, options: GenerateConfig, seed: int, show: Callable[[str], object] | None = None
    ) -> list[str]:
        """The texts for a prompt. Raises Busy, or UserError for a prompt that is too long."""
        if not self.places.acquire(blocking=False):
            raise Busy
        try:
            with self.turn:
                [texts] = continue_prompts(self.writer, [prompt], options, seed, show)
            return texts
        finally:
            self.places.release()

    def stream(self, prompt: str, options: GenerateConfig, seed: int) -> Iterator[str]:
        """The text bit by bit. Whoever hangs up sets the model free at the next token."""
        pieces: queue.Queue[str | None] = queue.Queue()
        gone = threading.Event()

        def show(piece: str) -> None:
            if gone.is_set():
                raise InterruptedError
            pieces.put(piece)

        def work() -> None:
            try:
                self.write(prompt, options, seed, show)
            except InterruptedError:
                pass
            except Busy:
                pieces.put(f"({BUSY})")
            finally:
                pieces.put(None)

        threading.Thread(target=work, daemon=True).start()
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            gone.set()


def request_model() -> Any:
    """What may be asked, as pydantic checks it. Settings that are left out are those of config.toml."""
    from pydantic import BaseModel, ConfigDict, Field

    class Asked(BaseModel):
        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
        prompt: str
        max_new_tokens: int | None = Field(None, ge=1, le=MOST_NEW_TOKENS)
        greedy: bool = False
        temperature: float | None = None
        top_k: int | None = None
        top_p: float | None = None
        repetition_penalty: float | None = None
        num: int | None = Field(None, ge=1, le=MOST_TEXTS)
        seed: int | None = Field(None, ge=0)
        stream: bool = False

    return Asked


def answer(desk: Desk, defaults: GenerateConfig, asked: Any) -> tuple[int, Iterator[str] | list[str]]:
    """(the seed, the texts or the pieces of one). Raises ValueError or UserError for a request that makes no sense."""
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    changes = asked.model_dump(exclude={"prompt", "greedy", "seed", "stream"}, exclude_none=True)
    options = defaults.steered(changes, greedy=asked.greedy)
    rooms_after(prompt_rows(desk.writer, [asked.prompt]), desk.writer.engine.positions)
    if asked.stream and options.num > 1:
        raise ValueError("a stream is of one text: leave num out")
    return seed, (desk.stream if asked.stream else desk.write)(asked.prompt, options, seed)


def create_app(config: Config, writer: Writer) -> Any:
    """The service for a model that is ready to write."""
    from fastapi import HTTPException
    from fastapi.responses import StreamingResponse

    desk, app = Desk(writer), new_app("gpt2", MOST_BYTES)

    @app.get("/")
    def describe() -> dict[str, Any]:
        limits = {"max_new_tokens": MOST_NEW_TOKENS, "num": MOST_TEXTS, "positions": writer.engine.positions}
        return {"about": writer.about, "defaults": dataclasses.asdict(config.generate), "limits": limits}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    def generate(asked: Any) -> Any:
        try:
            seed, texts = answer(desk, config.generate, asked)
        except (ValueError, UserError) as error:
            raise HTTPException(422, str(error)) from None
        except Busy:
            raise HTTPException(503, BUSY, {"retry-after": "10"}) from None
        if asked.stream:
            return StreamingResponse(texts, media_type="text/plain; charset=utf-8", headers={"seed": str(seed)})
        return {"prompt": asked.prompt, "texts": texts, "seed": seed}

    # FastAPI reads these types while it runs, and the model of a request is known only in here.
    generate.__annotations__ = {"asked": request_model(), "return": Any}
    app.post("/generate")(generate)
    return app


def request_of(address: str) -> str:
    """A request to type: for PowerShell, which hands no quotes on to curl, by PowerShell's own means."""
    body = '{"prompt": "Once upon a time"}'
    if os.name == "nt":
        return f"irm {address}/generate -Method Post -ContentType application/json -Body '{body}'"
    return f"""curl {address}/generate -H "content-type: application/json" -d '{body}'"""


def main(argv: list[str] | None = None) -> int:
    """Read the command line and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer requests with a text that the model goes on with.")
    parser.add_argument("--model", help="a model folder, a hub id, or scratch (default: config.toml's)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub model")
    parser.add_argument("--engine", choices=ENGINES, help="what computes it (default: the fastest that is ready)")
    parser.add_argument("--config", type=Path, default=Path("config.toml"))
    arguments = read_arguments(parser, argv)
    config = read_config(arguments.config)
    writer = open_writer(config, arguments.model, arguments.revision, arguments.engine)
    address = f"http://{arguments.host}:{arguments.port}"
    print(f"{writer.about}\nat {address}  (Ctrl-C ends it). Try in another terminal:")
    print(f"  {request_of(address)}", flush=True)
    answer_requests(create_app(config, writer), arguments.host, arguments.port)
    return 0


if __name__ == "__main__":
    main_guard(main)
