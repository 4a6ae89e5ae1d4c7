"""Every sentence exists in both languages, with the same places for values."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import words

CODE = Path(words.__file__).parent


def said() -> Iterator[str]:
    """Every sentence that the code passes to say(): written there, or named a few lines above."""
    for path in CODE.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                yield from spoken_in(function)


def spoken_in(function: ast.FunctionDef) -> Iterator[str]:
    """The sentences of one function."""
    named: dict[str, list[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for name, value in zip(names, values, strict=False):
                    if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                        named.setdefault(name.id, []).append(value.value)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("say", "write"):
            sentence = node.args[0]
            if isinstance(sentence, ast.Constant):
                yield sentence.value
            elif isinstance(sentence, ast.Name) and sentence.id in named:
                yield from named[sentence.id]


def places(sentence: str) -> list[tuple[str, str, str]]:
    """The places for values in a sentence, and how each is written."""
    found = Formatter().parse(sentence)
    return sorted((name, style or "", conversion or "") for _, name, style, conversion in found if name)


def test_every_sentence_is_in_korean_with_the_same_values() -> None:
    korean = tomllib.loads(words.KOREAN.read_text(encoding="utf-8"))
    assert len(korean) > 100
    assert set(korean) == set(said())
    for english, sentence in korean.items():
        assert places(english) == places(sentence), english


def test_a_language_that_cannot_be_read_is_english(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for content, expected in (('report.language = "ko"', "모델"), ("report.language = 3", "model"), ("[", "model")):
        path.write_text(content, encoding="utf-8")
        words.follow(path)
        assert words.say("model") == expected


def test_한글_is_two_columns_wide() -> None:
    assert words.pad("상태 a", 10) == "상태 a" + " " * 4
    assert words.pad("too long already", 3) == "too long already"
