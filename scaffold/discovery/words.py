"""Words as people type them: one form for all spellings, and the nearest known word for a misspelt one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def fold(text: str) -> str:
    """One form for all spellings of a name: NFKC, lower case, without spaces, hyphens and other separators."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if char.isalnum() or char in "+#")


def split(text: str) -> list[str]:
    """The words of a text, folded, in order. `GPT-2` is two words; `c++` and `c#` stay whole."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char if char.isalnum() or char in "+#" else " " for char in folded).split()


def is_cjk(char: str) -> bool:
    """Whether this is a letter of a script that is written without reliable spaces (Hangul, Han, Kana)."""
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"


def means_its_prefixes(word: str) -> bool:
    """Whether a word also means the longer words that begin with it. Two Latin letters mean only themselves."""
    return len(word) > 2 or any(is_cjk(char) for char in word)


def bigrams(text: str) -> list[str]:
    """Neighbouring pairs of CJK letters with spaces left out, so that 음성인식 and 음성 인식 meet."""
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
    allowed = 0 if len(typed) < 5 else 1 if len(typed) < 8 else 2
    found = []
    for candidate in known:
        spelt = unicodedata.normalize("NFD", candidate)
        if abs(len(spelt) - len(typed)) <= allowed:
            slips = edit_distance(typed, spelt, allowed)
            if slips <= allowed:
                # People mistype the first letter least.
                found.append((slips, typed[:1] != spelt[:1], candidate))
    return [candidate for _, _, candidate in sorted(found)[:limit]]


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
