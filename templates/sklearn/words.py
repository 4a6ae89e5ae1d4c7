"""What is written for people. English stands in the code, Korean in korean.toml; config.toml chooses."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

LANGUAGES = ("en", "ko")
KOREAN = Path(__file__).with_name("korean.toml")
_sentences: dict[str, str] = {}


def say(sentence: str, **values: object) -> str:
    """An English sentence in the chosen language, with the values put where it says {name} or {name:.3f}."""
    return _sentences.get(sentence, sentence).format(**values)


def speak(language: str) -> None:
    """Choose the language of everything that is said from now on."""
    _sentences.clear()
    if language == "ko":
        _sentences.update(tomllib.loads(KOREAN.read_text(encoding="utf-8")))


def follow(config: Path) -> None:
    """Speak as a config file says; English where it can't be read (reading the settings explains that properly)."""
    try:
        speak(tomllib.loads(config.read_text(encoding="utf-8-sig"))["report"]["language"])
    except (OSError, ValueError, TypeError, KeyError):
        speak("en")


def figure(value: float) -> str:
    """A number with the digits that say something: 12,345 and 0.123 and 1.2e-05."""
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def shown(path: Path) -> str:
    """A path as it can be typed here: relative where it lies below, quoted where it has blanks."""
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f'"{path}"' if " " in str(path) else str(path)


def shorten(label: str, length: int = 32) -> str:
    """A label that leaves room for the plot."""
    return label if len(label) <= length else label[: length - 1] + "…"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names in a row, and "..." where there are more."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def pad(text: str, width: int) -> str:
    """Text filled with blanks up to a width in the terminal, where 한글 is two columns wide."""
    return text + " " * (width - sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text))
