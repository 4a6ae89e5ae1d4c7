"""What a query means: its concepts (tasks and words, each with its wordings), and what a slip was meant to be."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaffold.discovery import ranking
from scaffold.discovery.concepts import longest_runs
from scaffold.discovery.spelling import correct
from scaffold.discovery.words import fold, has_cjk, inflected, is_cjk, loosely_near, split, words_of

# Words that are in nearly every query and name nothing.
_ENGLISH_FILLERS = (
    "a an and are awesome best build by code create curated do does example examples for framework frameworks free from"
    " get github good how i implementation implementations in is learn lib libraries library list lists make me my need"
    " of on open or package packages project projects repo repos repository resource resources software source start"
    " starter the to tool toolkit tools top tutorial tutorials using want what which with"
)
_KOREAN_FILLERS = (
    "공부 관련 구현 깃허브 라이브러리 리스트 만들기 모음 목록 방법 배우기 시작하기 예제 오픈소스 입문 자료 코드 툴 도구"
    " 싶다 싶어 싶어요 싶은데 알려줘 어떻게 무엇 뭐야 추천 추천해줘 튜토리얼 패키지 프레임워크 프로젝트"
)
_FILLERS = frozenset(f"{_ENGLISH_FILLERS} {_KOREAN_FILLERS}".split())
_MAX_WORDS = 12
_MAX_WORDINGS = 18
_SHORTEST_STEM = 2
_RELATED = 3
# Korean particles and endings that cling to a noun: 음성인식을, 강화학습으로, 분류하고. Longest first.
_ENDINGS = "이란 으로 에서 에게 하는 하기 하고 처럼 란 을 를 이 가 은 는 의 에 로 와 과 용"
_PARTICLES = tuple(_ENDINGS.split())
# Two concepts of one phrase are told apart by how rare they are, but never by more than this.
_COMMONEST = 0.35


@dataclass(frozen=True, slots=True)
class Wording:
    """One way to say a concept, in folded words, and how much finding it counts (1: as it was typed)."""

    text: str
    strength: float

    @property
    def is_cjk(self) -> bool:
        """Whether it is compared letter by letter, as its script has no reliable spaces."""
        return has_cjk(self.text)


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that a query asks for.

    Attributes:
        typed: the words of the query that name it.
        wordings: the strongest first.
        task: the task that it is, if it is one.
        aim: how much of the task is meant: less than 1 where a narrower word for it was typed.
        related: the nearest other tasks, nearest first.
        rare: of a phrase its words that alone give it away, as `diarization` does for `speaker diarization`.
        weight: how much it counts in the query: rare words count more.
    """

    typed: str
    wordings: tuple[Wording, ...]
    task: str | None = None
    aim: float = 1.0
    related: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True)
class Query:
    """A query, understood.

    Attributes:
        text: as typed.
        concepts: what it asks for, in the order it was typed.
        corrections: misspelt → meant.
        nearest: when nothing is known of the query, wordings that come near.
    """

    text: str
    concepts: tuple[Concept, ...]
    corrections: tuple[tuple[str, str], ...] = ()
    nearest: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it names, in the order they were named."""
        return tuple(dict.fromkeys(concept.task for concept in self.concepts if concept.task))

    @property
    def related(self) -> tuple[str, ...]:
        """The tasks next to those."""
        return tuple(dict.fromkeys(task for concept in self.concepts for task in concept.related))

    @property
    def words(self) -> tuple[str, ...]:
        """The words that name no task."""
        return tuple(concept.typed for concept in self.concepts if not concept.task)


def understand(connection: sqlite3.Connection, text: str) -> Query:
    """Read a query against the index's concepts and vocabulary."""
    typed = split(text)[:_MAX_WORDS]
    words = [word for word in typed if word not in _FILLERS]
    whole = _find(connection, typed)
    runs = (
        [(tuple(typed), whole)]
        if whole is not None
        else longest_runs(words or typed, lambda run: _find(connection, run))
    )
    known = any(number is not None for _, number in runs)
    if not known and len(runs) > 1:
        # A slip inside a name of several words (reinforcment learning), fillers among them or not (speech to txet).
        meant = correct(connection, "".join(words)) or correct(connection, "".join(typed))
        if meant and meant.concept is not None:
            concept = _named(connection, meant.concept, _wording(connection, meant.word))
            return Query(text, (concept,), ((" ".join(words), _shown(connection, meant.concept)),))
    concepts: list[Concept] = []
    corrections: list[tuple[str, str]] = []
    lost = False
    for run, number in runs:
        typed_run = " ".join(run)
        if number is not None:
            concepts.append(_named(connection, number, typed_run))
            continue
        concept, correction = _word(connection, run[0])
        concepts.append(concept)
        if correction:
            corrections.append((typed_run, correction))
        lost = lost or (correction is None and _documents(connection, concept.typed) == 0)
    unique = tuple({concept.wordings: concept for concept in concepts}.values())
    nearest = _hints(connection, text) if lost and not known and not corrections else ()
    return Query(text, _weighted(connection, unique), tuple(corrections), nearest)


def _find(connection: sqlite3.Connection, run: Sequence[str]) -> int | None:
    """The concept that a run of words names, also with Korean particles or a plural `s` on its words."""
    stems = map(stem, run)
    tries = dict.fromkeys((fold("".join(run)), fold("".join(stems)), fold("".join(run)).removesuffix("s")))
    for folded in tries:
        row = connection.execute("SELECT concept FROM synonyms WHERE folded = ?", (folded,)).fetchone()
        if row:
            return int(row[0])
    return None


def _named(connection: sqlite3.Connection, number: int, typed: str) -> Concept:
    """A known concept: what was typed counts fully, what means the same nearly so, the rest of its task less."""
    task, part, wordings = connection.execute(
        "SELECT task, part, wordings FROM concepts WHERE id = ?", (number,)
    ).fetchone()
    texts: list[str] = json.loads(wordings)
    words = words_of(typed)
    strengths = {words: 1.0}
    if part or task is None:
        strengths |= {words_of(text): ranking.SAME for text in texts if words_of(text) != words}
    if task is None:
        whole = True
    else:
        if part:
            query = "SELECT wordings FROM concepts WHERE task = ? AND NOT part"
            texts = json.loads(connection.execute(query, (task,)).fetchone()[0])
        title = words_of(texts[0])
        own_names = {fold(text) for text in (*texts[:2], task)}  # the titles and the task's id
        whole = not part and (fold(typed) in own_names or _short_for(words, title))
        for text in texts:
            other = words_of(text)
            strengths.setdefault(other, _strength(words, other, title, whole=whole, part=part))
    ordered = sorted((Wording(text, value) for text, value in strengths.items()), key=lambda wording: -wording.strength)
    aim = 1.0 if whole else ranking.NARROWER if part else ranking.ALIAS
    return Concept(
        typed, tuple(ordered[:_MAX_WORDINGS]), task, aim, _related(connection, task), _rare(connection, words)
    )


def _related(connection: sqlite3.Connection, task: str | None) -> tuple[str, ...]:
    row = connection.execute("SELECT related FROM tasks WHERE id = ?", (task,)).fetchone()
    return tuple(json.loads(row[0])[:_RELATED]) if row else ()


def _strength(typed: str, other: str, title: str, *, whole: bool, part: bool) -> float:
    """What another wording of a task counts, where one was typed."""
    if whole:
        return ranking.SAME if other == title or _short_for(typed, other) else ranking.SYNONYM
    if _short_for(typed, other) or _short_for(other, typed):
        return ranking.SAME
    # A part of the task was named: the task's other wordings are near it, no more. A Korean part that the glossary
    # does not know may be the translation of any of them.
    return ranking.NEAR if part else ranking.SYNONYM if has_cjk(typed) else ranking.BESIDE


def _rare(connection: sqlite3.Connection, words: str) -> tuple[str, ...]:
    """The words of a phrase that stand in few documents and so in little else."""
    parts = words.split()
    if len(parts) < 2 or has_cjk(words):
        return ()
    total = connection.execute("SELECT max(id) FROM documents").fetchone()[0] or 0
    if total < ranking.ENOUGH:
        return ()  # in a small index every word is rare
    most = int(ranking.RARE * total)
    return tuple(stem(word) for word in parts if len(word) > 3 and 0 < _documents(connection, stem(word)) <= most)


def _short_for(short: str, full: str) -> bool:
    return len(short) <= 6 and short == "".join(word[0] for word in full.split())


def _wording(connection: sqlite3.Connection, folded: str) -> str:
    """A known wording as people write it, with its spaces."""
    row = connection.execute("SELECT wording FROM synonyms WHERE folded = ?", (folded,)).fetchone()
    return str(row[0]) if row else folded


def _shown(connection: sqlite3.Connection, number: int) -> str:
    row = connection.execute("SELECT wordings FROM concepts WHERE id = ?", (number,)).fetchone()
    return str(json.loads(row[0])[0])


def _word(connection: sqlite3.Connection, word: str) -> tuple[Concept, str | None]:
    """A word that names no concept: itself and its stem, or what it was meant to be."""
    base = stem(word)
    documents = _documents(connection, base)
    meant = correct(connection, base, documents=documents)
    if meant is None:
        plural = [] if word.startswith(base) else [Wording(word, 1.0)]  # libraries does not begin with library
        return Concept(word, (Wording(base, 1.0), *plural)), None
    if meant.concept is not None:
        concept = _named(connection, meant.concept, _wording(connection, meant.word))
        return replace(concept, typed=word), _shown(connection, meant.concept)
    wordings = (Wording(meant.word, 1.0), *([Wording(base, ranking.CORRECTED)] if documents else []))
    return Concept(word, wordings), meant.word


def stem(word: str) -> str:
    """A Korean noun without the particle that clings to it, an English one without its plural `s`."""
    if is_cjk(word[-1]):
        for particle in _PARTICLES:
            if word.endswith(particle) and len(word) - len(particle) >= _SHORTEST_STEM:
                return word.removesuffix(particle)
    if len(word) > 4 and word.isascii() and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-3] + "y" if word.endswith("ies") else word[:-1]
    return word


def _documents(connection: sqlite3.Connection, word: str) -> int:
    """About how many documents hold a word or begin a word with it."""
    if has_cjk(word):
        pairs = [word[i : i + 2] for i in range(len(word) - 1)] or [word]
        return min(_term_documents(connection, pair, prefix=False) for pair in pairs)
    endings = inflected(word)
    if not endings:
        return _term_documents(connection, word, prefix=True)
    return max(_term_documents(connection, word + ending, prefix=False) for ending in endings)


def _term_documents(connection: sqlite3.Connection, term: str, *, prefix: bool) -> int:
    # Counted when the index was built: counting now would read every document that holds a common word.
    end = term + ("\U0010ffff" if prefix else "\x00")
    row = connection.execute("SELECT max(documents) FROM spelling WHERE word >= ? AND word < ?", (term, end)).fetchone()
    if row[0]:
        return int(row[0])
    match = f'"{term}" *' if prefix else f'"{term}"'
    return int(connection.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (match,)).fetchone() is not None)


def _weighted(connection: sqlite3.Connection, concepts: tuple[Concept, ...]) -> tuple[Concept, ...]:
    """The concepts with their weights: the inverse document frequency of the rarest word of the first wording."""
    if len(concepts) < 2:
        return concepts
    total = connection.execute("SELECT max(id) FROM documents").fetchone()[0] or 1
    rarity = []
    for concept in concepts:
        words = concept.wordings[0].text.split() or [concept.typed]
        rarest = min(_documents(connection, word) for word in words)
        rarity.append(math.log(1 + total / (1 + rarest)))
    most = max(rarity)
    return tuple(
        replace(concept, weight=max(_COMMONEST, value / most)) for concept, value in zip(concepts, rarity, strict=True)
    )


def _hints(connection: sqlite3.Connection, text: str) -> tuple[str, ...]:
    names = {row[0]: row[1] for row in connection.execute("SELECT folded, wording FROM synonyms")}
    return tuple(names[name] for name in loosely_near(fold(text), list(names)))
