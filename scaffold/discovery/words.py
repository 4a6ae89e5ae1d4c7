"""Words as people type them: one form for all spellings, and the nearest known word for a misspelt one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

# Between a small letter and a capital (EasyOcr), and before the last capital of a run (NLPTools).
_INNER_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_SEPARATORS = re.compile(r"[^\w+#]|_")


def fold(text: str) -> str:
    """One form for all spellings of a name: NFKC, lower case, without spaces, hyphens and other separators."""
    return _SEPARATORS.sub("", _normal(text))


def split(text: str) -> list[str]:
    """The words of a text, folded, in order. `GPT-2` is two words; `c++` and `c#` stay whole."""
    return _SEPARATORS.sub(" ", _normal(text)).split()


def words_of(text: str) -> str:
    """The words of a text, folded, with one space between them: the form in which texts are compared."""
    return " ".join(split(text))


def spelt_out(name: str) -> str:
    """A name and the words inside it: `AthenaCore/AwesomeResponsibleAI` also holds `Awesome Responsible AI`."""
    spaced = _INNER_WORD.sub(" ", name)
    return name if spaced == name else f"{name} {spaced}"


def has_cjk(text: str) -> bool:
    """Whether a text holds a letter of a CJK script."""
    return not text.isascii() and any(map(is_cjk, text))


def is_cjk(char: str) -> bool:
    """Whether this is a letter of a script that is written without reliable spaces (Hangul, Han, Kana)."""
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"


def inflected(word: str) -> tuple[str, ...]:
    """The endings with which a Latin word still means the same; empty where any ending does (long words).

    `rag` is not `ragged`, `face` not `facebook`, but `segment` is `segmentation`.
    """
    if len(word) > 5:
        return ()
    return ("", "s") if len(word) < 4 else ("", "s", "es", "ed", "ing", "er", "ers")


def _normal(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def bigrams(text: str) -> list[str]:
    """Neighbouring pairs of CJK letters with spaces left out, so that 음성인식 and 음성 인식 meet."""
    if text.isascii():
        return []
    pairs: list[str] = []
    run = ""
    for char in [*unicodedata.normalize("NFKC", text), "."]:
        if is_cjk(char):
            run += char
        elif not char.isspace():
            pairs.extend(run[i : i + 2] for i in range(len(run) - 1))
            run = ""
    return pairs


def nearest(word: str, known: Iterable[str], limit: int = 1) -> list[str]:
    """The known words within a few keystrokes of a misspelt one, nearest first.

    One slip is allowed from five letters on, two from eight. Hangul counts by its jamo, as it is typed.
    """
    typed = unicodedata.normalize("NFD", word)
    allowed = slips_allowed(typed)
    found = []
    for candidate in known:
        spelt = unicodedata.normalize("NFD", candidate)
        if abs(len(spelt) - len(typed)) <= allowed:
            slips = edit_distance(typed, spelt, allowed)
            if slips <= allowed:
                # People mistype the first letter least.
                found.append((slips, typed[:1] != spelt[:1], candidate))
    return [candidate for _, _, candidate in sorted(found)[:limit]]


def letters(word: str) -> tuple[str, int]:
    """A word as it is typed, key by key (Hangul by its jamo), and a sketch of its letters: one bit for each.

    Two words that differ by n slips differ by at most 2n bits of their sketches, which is quickly seen.
    """
    typed = unicodedata.normalize("NFD", word)
    sketch = 0
    for char in typed:
        sketch |= 1 << (ord(char) % 61)
    return typed, sketch


def slips_allowed(typed: str) -> int:
    """How many slips a word of this length may hold: one from five letters on, two from eight."""
    return 0 if len(typed) < 5 else 1 if len(typed) < 8 else 2


def edit_distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours between two words; `limit + 1` when there are more.

    Optimal string alignment, row by row (Damerau 1964; see Navarro, ACM Computing Surveys 33(1), 2001).
    """
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        last, before, row = before, row, [i]
        for j, other in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def loosely_near(word: str, known: Sequence[str], limit: int = 3) -> list[str]:
    """Known words that look alike, for a hint where `nearest` finds none."""
    from difflib import get_close_matches

    return get_close_matches(word, known, limit, 0.6)
