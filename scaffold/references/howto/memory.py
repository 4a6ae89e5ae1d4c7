"""The memory that a README asks for: sentences and tables that give a figure, and say what it is for."""

from __future__ import annotations

import re

from scaffold.hardware.machine import GIB
from scaffold.references.howto.model import MemoryHint, MemoryKind
from scaffold.references.howto.readme import Readme

_MAX_HINTS = 4
_MOST_GIB = 4096.0
_NUMBER = r"(\d{1,4}(?:\.\d{1,2})?)\s*(?:-|–|~|to)?\s*(?:(\d{1,4}(?:\.\d{1,2})?)\s*)?(GB|GiB|G|MB|MiB)(?![A-Za-z0-9])"
_FIGURE = re.compile(_NUMBER, re.IGNORECASE)
_GPU = re.compile(
    r"(?<![A-Za-z])v-?ram(?![A-Za-z])|显存|顯存|GPU ?메모리|GPU ?メモリ"
    r"|\b(?:gpu|video|graphics|cuda|device)[ -](?:memory|ram|mem)\b",
    re.IGNORECASE,
)
_CARD = re.compile(r"\bgpus?\b|\bgraphics cards?\b|显卡|그래픽", re.IGNORECASE)
_MAIN = re.compile(r"\b(?:system |main |cpu |host )?(?:ram|memory)\b|内存|메모리|メモリ", re.IGNORECASE)
_ASKS = re.compile(
    r"requir|\bneed|at least|minimum|\bmin\b|recommend|or more|or higher|\bmust\b|suffic|enough|\bfits?\b|\btakes?\b"
    r"|consum|occup|\buses?\b|\busage\b|\brun\w*\b|≥|>=|至少|需要|최소|이상|필요|必要|以上",
    re.IGNORECASE,
)
# What was done on somebody's machine is not what is asked of yours.
_TOLD = re.compile(
    r"\bwe (?:train|use|test|ran|run|evaluat)"
    r"|(?:were|was|is|are|been) (?:trained|tested|run|evaluated|conducted|measured)"
    r"|\btrained on|\btested on|dataset|disk|storage|download|checkpoint size|file size|bandwidth|\bsaves?\b|\breduc"
    r"|\bnot\b|n't|\bif\b|instead|naive|out.of.memory",
    re.IGNORECASE,
)


def read_memory(readme: Readme) -> tuple[MemoryHint, ...]:
    """What a README says of memory, at most a few hints; tables first, as they compare."""
    found: list[MemoryHint] = []
    for _, rows in readme.tables:
        found += _from_table(rows, readme.path)
    for _, sentence in readme.sentences:
        hint = _from_sentence(sentence, readme.path)
        if hint and all(hint.text != other.text for other in found):
            found.append(hint)
    return tuple(found[:_MAX_HINTS])


def _from_sentence(sentence: str, source: str) -> MemoryHint | None:
    if len(sentence) > 500 or not _ASKS.search(sentence) or _TOLD.search(sentence):
        return None
    sizes = _sizes(sentence)
    kind: MemoryKind
    if _GPU.search(sentence) or (_CARD.search(sentence) and not re.search(r"\bram\b", sentence, re.IGNORECASE)):
        kind = "gpu"
    elif _MAIN.search(sentence) and not _CARD.search(sentence):
        kind = "main"
    else:
        return None
    if not sizes or (kind == "gpu" and re.search(r"\b(?:system|main|cpu) (?:ram|memory)\b", sentence, re.IGNORECASE)):
        return None
    return MemoryHint(kind, min(sizes), max(sizes), sentence[:200], source)


def _from_table(rows: list[list[str]], source: str) -> list[MemoryHint]:
    """The columns, or the rows, whose heading names memory that is asked for."""
    found = []
    header = rows[0] if rows else []
    for place, title in enumerate(header):
        cells = [row[place] for row in rows[1:] if place < len(row)]
        found += _hint(title, cells, source)
    for row in rows[1:]:
        if row and _asks_in_heading(row[0]) and not any(_asks_in_heading(title) for title in header):
            found += _hint(row[0], row[1:], source)
    return found


def _hint(title: str, cells: list[str], source: str) -> list[MemoryHint]:
    unit = re.search(r"\b(GB|GiB|MB|MiB)\b", title, re.IGNORECASE)
    if not _asks_in_heading(title):
        return []
    kind: MemoryKind = "gpu" if _GPU.search(title) else "main"
    if unit:
        cells = [
            f"{cell} {unit[1]}" if re.fullmatch(r"[~<>≈ ]*\d{1,5}(?:\.\d{1,2})?", cell) else cell for cell in cells
        ]
    sizes = [size for cell in cells for size in _sizes(cell)[:1]]
    if not sizes:
        return []
    return [MemoryHint(kind, min(sizes), max(sizes), f"table: {title}"[:200], source)]


def _asks_in_heading(title: str) -> bool:
    return bool(
        _GPU.search(title) or re.search(r"requir\w* (?:ram|memory)|(?:ram|memory) requir", title, re.IGNORECASE)
    )


def _sizes(text: str) -> list[int]:
    sizes = []
    for match in _FIGURE.finditer(text):
        factor = 1 / 1024 if match[3].upper().startswith("M") else 1.0
        for number in (match[1], match[2]):
            amount = float(number) * factor if number else 0.0
            if 0 < amount <= _MOST_GIB:
                sizes.append(int(amount * GIB))
    return sizes
