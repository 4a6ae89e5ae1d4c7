"""The service over real HTTP: it answers as generate.py would, and says what is wrong with a request."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import serve
from config import Config
from engines import Writer
from generate import continue_prompts

pytest.importorskip("fastapi", reason="python serve.py needs fastapi")
uvicorn = pytest.importorskip("uvicorn", reason="python serve.py needs uvicorn")

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def address(config: Config, writer: Writer) -> Iterator[str]:
    """Where the service listens, for one test."""
    server = uvicorn.Server(uvicorn.Config(serve.create_app(config, writer), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def ask(address: str) -> Ask:
    """ask(prompt="The cat", num=2): (status, what the service answers)."""

    def asked(path: str = "/generate", data: bytes | None = None, **body: Any) -> tuple[int, Any]:
        content = data or (json.dumps(body).encode() if body else None)
        request = Request(address + path, content, {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())

    return asked


def test_it_writes_what_generate_py_writes(ask: Ask, config: Config, writer: Writer) -> None:
    options = dataclasses.replace(config.generate, num=2, temperature=0.7, top_k=20)
    expected = continue_prompts(writer, ["The cat"], options, 5)[0]
    status, answer = ask(prompt="The cat", num=2, temperature=0.7, top_k=20, seed=5)
    assert (status, answer["texts"], answer["seed"]) == (200, expected, 5)


def test_without_a_seed_one_is_drawn_and_told(ask: Ask) -> None:
    _, first = ask(prompt="The cat")
    _, second = ask(prompt="The cat")
    assert first["texts"] != second["texts"]
    assert ask(prompt="The cat", seed=first["seed"])[1]["texts"] == first["texts"]


def test_a_stream_is_the_same_text_bit_by_bit(ask: Ask, address: str) -> None:
    _, whole = ask(prompt="The cat", seed=3)
    body = json.dumps({"prompt": "The cat", "seed": 3, "stream": True}).encode()
    with urlopen(Request(f"{address}/generate", body, {"content-type": "application/json"}), timeout=60) as answer:
        assert answer.headers["seed"] == "3"
        assert answer.read().decode() == whole["texts"][0]


def test_whoever_hangs_up_sets_the_model_free(config: Config, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    step, steps = writer.engine.step, []

    def slow_step(tokens: list[int]) -> Any:
        time.sleep(0.02)
        steps.append(tokens)
        return step(tokens)

    monkeypatch.setattr(writer.engine, "step", slow_step)
    desk = serve.Desk(writer)
    pieces = desk.stream("The cat", dataclasses.replace(config.generate, max_new_tokens=60), 1)
    assert next(pieces) is not None
    pieces.close()
    assert desk.turn.acquire(timeout=30)
    assert len(steps) < 50


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"max_new_tokens": 5}, "required"),
        ({"prompt": "x", "max_new_tokens": 0}, "greater than or equal to 1"),
        ({"prompt": "x", "max_new_tokens": 100_000}, "less than or equal to 1000"),
        ({"prompt": "x", "num": 9}, "less than or equal to 8"),
        ({"prompt": "x", "temperature": 0}, "temperature must be above 0"),
        ({"prompt": "x", "top_p": 1.5}, "top_p must be above 0"),
        ({"prompt": "x", "top_p": "much"}, "valid number"),
        ({"prompt": "x", "top": 5}, "Extra inputs"),
        ({"prompt": "x", "engine": "onnx"}, "Extra inputs"),
        ({"prompt": "x", "greedy": True, "top_k": 3}, "top_k would change nothing"),
        ({"prompt": "x", "stream": True, "num": 2}, "one text"),
        ({"prompt": "§" * 50}, "has 100 tokens; this model has 64"),
    ],
)
def test_bad_requests_are_explained(ask: Ask, body: dict[str, Any], complaint: str) -> None:
    status, answer = ask(**body)
    assert status == 422
    assert complaint in json.dumps(answer, ensure_ascii=False)


def test_the_request_to_try_is_one_that_powershell_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve.request_of("http://a:1").startswith("curl http://a:1/generate -H ")
    monkeypatch.setattr(serve.os, "name", "nt")
    assert serve.request_of("http://a:1") == (
        'irm http://a:1/generate -Method Post -ContentType application/json -Body \'{"prompt": "Once upon a time"}\''
    )


def test_a_request_that_is_too_large_is_refused_unread(ask: Ask) -> None:
    status, answer = ask(data=b'{"prompt": "' + b"x" * serve.MOST_BYTES + b'"}')
    assert status == 413
    assert "content-length" in answer["detail"]


def test_when_too_many_wait_the_next_is_sent_away(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, config: Config, writer: Writer
) -> None:
    desk = serve.Desk(writer)
    for _ in range(serve.MOST_WAITING):
        assert desk.places.acquire(blocking=False)
    with pytest.raises(serve.Busy):
        desk.write("x", config.generate, 1)
    assert "too many" in "".join(desk.stream("x", config.generate, 1))
    desk.places.release()
    short = dataclasses.replace(config.generate, max_new_tokens=1)
    for _ in range(3):  # each gives its place back
        assert desk.write("x", short, 1)


def test_one_request_at_a_time_has_the_model(monkeypatch: pytest.MonkeyPatch, config: Config, writer: Writer) -> None:
    second, inside, together = threading.Event(), [], []

    def write(*_: Any) -> list[list[str]]:
        inside.append(1)
        together.append(len(inside))
        if len(inside) == 2:
            second.set()
        second.wait(0.5)  # a second one, let in, would come by then
        inside.pop()
        return [["text"]]

    monkeypatch.setattr(serve, "continue_prompts", write)
    desk = serve.Desk(writer)
    threads = [threading.Thread(target=desk.write, args=["x", config.generate, 1]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1, 1]


def test_requests_at_the_same_time_get_their_own_texts(ask: Ask) -> None:
    prompts = ["The cat", "The heron number 11", "came back"]
    alone = {prompt: ask(prompt=prompt, seed=2)[1]["texts"] for prompt in prompts}
    together: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=lambda it: together.update({it: ask(prompt=it, seed=2)[1]["texts"]}), args=[prompt])
        for prompt in prompts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_what_is_served_and_that_it_lives(ask: Ask, config: Config) -> None:
    assert ask("/health") == (200, {"status": "ok"})
    _, described = ask("/")
    assert described["defaults"]["top_k"] == config.generate.top_k
    assert described["limits"]["positions"] == 64


def test_it_listens_on_this_computer_only(monkeypatch: pytest.MonkeyPatch, config: Config, writer: Writer) -> None:
    heard: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **settings: heard.update(settings))
    monkeypatch.setattr(serve, "read_config", lambda _: config)
    monkeypatch.setattr(serve, "open_writer", lambda *_: writer)
    serve.main([])
    assert heard["host"] == "127.0.0.1"
