"""What a query means: which tasks it names, which words are left, and what a misspelt word was meant to be."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from scaffold.discovery.words import fold, is_cjk, loosely_near, means_its_prefixes, nearest, split

# Words that are in nearly every query and name nothing.
_ENGLISH_FILLERS = (
    "a an and are awesome best build by create curated do does example examples for from get github how i in is learn"
    " lib libraries library list lists make me my need of on open or package packages project projects repo repos"
    " repository resources source start starter the to tool toolkit tools top tutorial tutorials using want what which"
    " with"
)
_KOREAN_FILLERS = (
    "공부 관련 깃허브 라이브러리 리스트 만들기 모음 목록 방법 배우기 시작하기 예제 오픈소스 입문"
    " 싶다 싶어 싶어요 싶은데 알려줘 어떻게 무엇 뭐야 추천 추천해줘 튜토리얼 패키지 프로젝트"
)
_FILLERS = frozenset(f"{_ENGLISH_FILLERS} {_KOREAN_FILLERS}".split())
_MAX_WORDS = 12
_SHORTEST_STEM = 2
# Korean particles and endings that cling to a noun: 음성인식을, 강화학습으로, 분류하고. Longest first.
_ENDINGS = "이란 으로 에서 에게 하는 하기 하고 처럼 란 을 를 이 가 은 는 의 에 로 와 과 용"
_PARTICLES = tuple(_ENDINGS.split())


@dataclass(frozen=True)
class Query:
    """A query, understood.

    Attributes:
        text: as typed.
        tasks: ids of the tasks that it names, in the order they were named.
        words: the words left over, to be looked for in the texts.
        corrections: misspelt → meant.
        nearest: when nothing is known of the query, wordings that come near.
    """

    text: str
    tasks: tuple[str, ...]
    words: tuple[str, ...]
    corrections: tuple[tuple[str, str], ...] = ()
    nearest: tuple[str, ...] = ()


def understand(connection: sqlite3.Connection, text: str) -> Query:
    """Read a query against the index's tasks, synonyms and vocabulary."""
    names = {row["folded"]: row for row in connection.execute("SELECT folded, task, wording FROM synonyms")}
    whole = names.get(fold(text))
    if whole:
        return Query(text, (whole["task"],), ())
    typed = split(text)[:_MAX_WORDS]
    tasks, words = _take_tasks([word for word in typed if word not in _FILLERS] or typed, names)
    corrections: list[tuple[str, str]] = []
    unknown = [word for word in words if not _in_vocabulary(connection, word)]
    if unknown and not tasks and len(words) > 1:
        # A slip inside a name of several words: `reinforcment learning`.
        meant = nearest(fold(text), names)
        if meant:
            row = names[meant[0]]
            return Query(text, (row["task"],), (), ((" ".join(words), row["wording"]),))
    kept = []
    for word in words:
        if word not in unknown:
            kept.append(word)
            continue
        task, meant_word = _correct(connection, word, names)
        if task:
            tasks.append(task)
        elif meant_word:
            kept.append(meant_word)
        if meant_word:
            corrections.append((word, meant_word))
        else:
            kept.append(word)
    unique = tuple(dict.fromkeys(tasks))
    hints: tuple[str, ...] = ()
    if not unique and unknown and not corrections:
        hints = tuple(names[name]["wording"] for name in loosely_near(fold(text), list(names)))
    return Query(text, unique, tuple(dict.fromkeys(kept)), tuple(corrections), hints)


def _take_tasks(words: list[str], names: dict[str, sqlite3.Row]) -> tuple[list[str], list[str]]:
    """Takes the longest runs of words that name a task; returns the tasks and what is left."""
    tasks: list[str] = []
    left: list[str] = []
    start = 0
    while start < len(words):
        for end in range(len(words), start, -1):
            run = words[start:end]
            row = names.get(fold("".join(run))) or names.get(fold("".join(map(_stem, run))))
            if row:
                tasks.append(row["task"])
                start = end
                break
        else:
            left.append(_stem(words[start]))
            start += 1
    return tasks, left


def _stem(word: str) -> str:
    """A Korean noun without the particle that clings to it, where two letters or more remain."""
    if is_cjk(word[-1]):
        for particle in _PARTICLES:
            if word.endswith(particle) and len(word) - len(particle) >= _SHORTEST_STEM:
                return word.removesuffix(particle)
    return word


def _in_vocabulary(connection: sqlite3.Connection, word: str) -> bool:
    if any(is_cjk(char) for char in word):
        pairs = [word[i : i + 2] for i in range(len(word) - 1)] or [word]
        return all(_has_term(connection, pair) for pair in pairs)
    return _has_term(connection, word)


def _has_term(connection: sqlite3.Connection, word: str) -> bool:
    # A word counts as known when something in the index begins with it: `segment` finds `segmentation`.
    end = word + "\U0010ffff" if means_its_prefixes(word) else word + "\x00"
    row = connection.execute("SELECT 1 FROM vocabulary WHERE term >= ? AND term < ? LIMIT 1", (word, end)).fetchone()
    return row is not None


def _correct(connection: sqlite3.Connection, word: str, names: dict[str, sqlite3.Row]) -> tuple[str | None, str | None]:
    """The task that a misspelt word names, or the word of the index that it was meant to be."""
    meant = nearest(word, names)
    if meant:
        return names[meant[0]]["task"], names[meant[0]]["wording"]
    # Real slips rarely touch the first letter, and this keeps the scan of a large vocabulary short.
    terms = connection.execute(
        "SELECT term, doc FROM vocabulary WHERE term >= ? AND term < ? AND length(term) BETWEEN ? AND ?",
        (word[0], word[0] + "\U0010ffff", len(word) - 2, len(word) + 2),
    ).fetchall()
    by_use = [row["term"] for row in sorted(terms, key=lambda row: -row["doc"])]
    found = nearest(word, by_use)
    return None, found[0] if found else None
