"""Shapes of awkward lists that were read by hand. The projects are made up; each text states every entry it holds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaffold.discovery.awesome import Entry, merge, parse_readme
from scaffold.discovery.local import local_lists

# ruff: noqa: E501


@dataclass(frozen=True)
class Shape:
    """A README, and what a reader sees in it: title, repository (or address) and description, by section."""

    text: str
    entries: list[tuple[str, str, str | None]]
    sections: list[tuple[str, ...]] | None = None
    path: str = "README.md"


SHAPES = {
    "details that unfold, with code to copy and hidden items": Shape(
        """# Best things
<p align="center"><a href="https://github.com/me/things"><img src="https://img.example/x.svg"></a></p>

## Presses
<a href="#contents"><img align="right" src="top.png" alt="Back to top"></a>

_Machines that press._

<details><summary><b><a href="https://github.com/a/olive">Olive</a></b> (🥇40 · ⭐ 2K) - Presses olives. <code><a href="https://l.example/mit">MIT</a></code></summary>

- [GitHub](https://github.com/a/olive) (👨‍💻 4 · 📋 2):

\t```
\tgit clone https://github.com/z/oldname
\t```
- [PyPi](https://pypi.org/project/olive) (📥 2 / month):
</details>
<details><summary>Show 1 hidden project...</summary>

- <b><a href="https://github.com/b/grape">Grape</a></b> (🥉3 · 💀) - Presses grapes.
</details>
""",
        [("Olive", "a/olive", "(🥇40 · ⭐ 2K) - Presses olives. MIT"), ("Grape", "b/grape", "(🥉3 · 💀) - Presses grapes.")],
        [("Presses",), ("Presses",)],
    ),
    "a layout table": Shape(
        """Worlds
======

## Farm
<table><tbody>
  <tr>
    <td width='50%'>
        <a href='https://github.com/a/cow'> Cow  World </a>
        <ul><li>four legs</li></ul>
    </td>
    <td><img src='https://github.com/z/pictures/raw/cow.gif' /></td>
  </tr>
  <tr><td width='50%'> <a href='https://b.example/hen'>Hen World</a></td></tr>
</tbody></table>

## Disclaimer
* [nothing](https://github.com/z/nothing)
""",
        [("Cow World", "a/cow", None), ("Hen World", "https://b.example/hen", None)],
        [("Farm",), ("Farm",)],
    ),
    "headings are entries, their links stand in parts below": Shape(
        """# Helpers
## Open ones
## [Ada](https://ada.example)
Sews on buttons by itself

<details>

![image](https://github.com/z/pictures/raw/ada.png)

### Description
- Uses [Needle](https://needle.example) inside
### Links
- [GitHub](https://github.com/a/ada?utm_source=x)
- [Discord](https://chat.example/ada)
</details>

## [Bob](https://github.com/b/bob)
Irons shirts very fast

### Links
- [Docs](https://bob.example/docs)
<!-- - Carl https://github.com/z/carl -->
""",
        [("Ada", "a/ada", "Sews on buttons by itself"), ("Bob", "b/bob", "Irons shirts very fast")],
    ),
    "reStructuredText with a link to each entry's own record": Shape(
        "Data\n====\n\n|badge|\n\n.. |badge| image:: https://b.example/x.png\n   :target: https://github.com/z/badge\n\nWeather\n-------\n\n"
        + "".join(
            f"* |OK| `Rain in town {number} - Daily sums of rain in a town that is dry otherwise [...] <https://github.com/rain/r{number}>`_ [`Meta <https://github.com/z/core/tree/m/{number}.yml>`_]\n\n"
            for number in range(30)
        )
        + "* |OK| `Old tapes <ftp://tapes.example/>`_ [`Meta <https://github.com/z/core/tree/m/tapes.yml>`_]\n\n",
        [(f"Rain in town {number}", f"rain/r{number}", "Daily sums of rain in a town that is dry otherwise ...") for number in range(30)],
        path="README.rst",
    ),
    "icons in place of names, a link that its line breaks": Shape(
        """# Sounds
## Reading
* [horn](https://horn.example/) [:octocat:](https://github.com/a/horn) [:package:](https://pypi.org/project/horn) - Reads horns.
* [bell](https://bell.example) [:octocat:](https://github.com/b/bell
) - Reads bells.
* [drum]( https://github.com/c/drum) - Reads drums.
* [lute](https://lute.example) - Reads lutes, its code is [here](https://github.com/d/lute).
## Related lists
There is already [Noise](https://noise.example) but it is old. [More noise](https://github.com/z/noise) is a large list of noise.
""",
        [("horn", "a/horn", "Reads horns."), ("bell", "b/bell", "Reads bells."), ("drum", "c/drum", "Reads drums."), ("lute", "d/lute", "Reads lutes, its code is here.")],
    ),
    "numbered items whose links say everything": Shape(
        """\ufeff# Deep things
## Frameworks
1.  [Spade](https://github.com/a/spade)
1.  [Rake - a light and friendly library with which to rake leaves in any garden](https://github.com/b/rake)
3.  [**Hoe**](https://hoe.example/index.html?a=(1)) by Ann\u200b

*You can find more of it [here](https://github.com/z/more)*
## Contributing
Something missing? Send a [pull request](https://github.com/z/other/pulls).
""",
        [
            ("Spade", "a/spade", None),
            ("Rake", "b/rake", "a light and friendly library with which to rake leaves in any garden"),
            ("Hoe", "https://hoe.example/index.html?a=(1)", "by Ann"),
        ],
    ),
    "bold titles with badges on lines of their own": Shape(
        """# Styles [![Awesome](https://awesome.re/badge.svg)](https://github.com/sindresorhus/awesome)
# Pictures
## By hand
+ **Brush: Painting with Few Strokes** (3 May 2024) <details><summary>Ann et al.</summary>Ann, Bob
[![Paper](https://img.example/p.svg)](https://papers.example/1)
[![Code](https://img.example/c.svg)](https://github.com/a/brush)
[![Star](https://img.example/s.svg)](https://github.com/z/stars/stargazers)

+ **Chalk** (4 May 2024)
[![Paper](https://img.example/p.svg)](https://papers.example/2)
""",
        [
            ("Brush: Painting with Few Strokes", "a/brush", "(3 May 2024) Ann et al. Ann, Bob"),
            ("Chalk", "https://papers.example/2", None),
        ],
        [("Pictures", "By hand"), ("Pictures", "By hand")],
    ),
    "authors, a title in quotes, then paper and code": Shape(
        """# Vision
Inspired by [awesome-x](https://github.com/z/awesome-x).
## Painting
* Ann Lee, Bob Ray, "Colours of a Picture from its Greys Alone", Fair, 2016. [[Paper]](https://p.example/1.pdf), [[Code]](https://github.com/a/colours) [[Code](https://github.com/a2/colours-again)]
* Carl Fox, Holes [[Paper](https://p.example/2)] [[Code](https://github.com/b/holes)]
* Tools of old: [[Brush](https://github.com/c/brush)], [[Pen](https://pen.example)], [[Ink](https://github.com/d/ink)]
""",
        [
            ("Colours of a Picture from its Greys Alone", "a/colours", "Ann Lee, Bob Ray, Fair, 2016"),
            ("colours-again", "a2/colours-again", "Colours of a Picture from its Greys Alone"),
            ("Carl Fox, Holes", "b/holes", None),
            ("Brush", "c/brush", "Tools of old · Pen"),
            ("Ink", "d/ink", None),
        ],
    ),
    "table rows with mentions, inner links and notes": Shape(
        """# 언어 모델
## 평가
| 이름 | 설명 | 만든 곳 |
|---|---|---|
| <a id="mok"></a> [모크](https://github.com/a/mok) | [큰 시험](https://github.com/z/exam)의 한국어판[^2]. [두](#du), [세](#se)를 함께 본다 | 가나대 |
| [Duri]( https://du.example )<br>([작은 것](https://du.example/s)) | 채점 도구 [duri-eval](https://github.com/b/duri) | - |
[^2]: https://notes.example
""",
        [("모크", "a/mok", "큰 시험의 한국어판. 두, 세를 함께 본다 · 가나대"), ("Duri", "b/duri", "(작은 것) · 채점 도구 duri-eval")],
        [("평가",), ("평가",)],
    ),
    "a chapter of tables, sentences and data sets": Shape(
        """# Shortening
### Evaluation
The scores are those of [the Bank](https://bank.example). Each is a number that comes from the tool Count ([paper](https://p.example/9), [code](https://github.com/z/count)). It counts.

#### SHORT
[Ann et al. (2020)](https://p.example/1) let people shorten sentences. [SHORT](https://github.com/a/short) has two thousand of them.

#### News
A set of news with a line each. It can be downloaded [here](https://github.com/b/news).

| Model | Score | Paper / Source | Code |
| --- | :---: | --- | --- |
| Cut (Bob, 2019) | 44.1\\* | [Cutting without Pain](https://p.example/2) | [Official](https://github.com/c/cut) |
| Snip (Carl, 2018) | 43 | [Snipping](https://p.example/3) | https://github.com/d/snip |
""",
        [
            ("Ann et al. (2020)", "https://p.example/1", "let people shorten sentences. SHORT has two thousand of them."),
            ("SHORT", "a/short", "Ann et al. (2020) let people shorten sentences. SHORT has two thousand of them."),
            ("News", "b/news", "A set of news with a line each. It can be downloaded here."),
            ("Cutting without Pain", "c/cut", "Cut (Bob, 2019) · 44.1"),
            ("Snipping", "d/snip", "Snip (Carl, 2018) · 43"),
        ],
    ),
}  # fmt: skip


def _seen(entry: Entry) -> tuple[str, str, str | None]:
    return entry.title, entry.repo or entry.url, entry.description


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_what_a_reader_sees_is_found_and_nothing_else(shape: Shape) -> None:
    parsed = parse_readme(shape.text, repo="me/awesome-things", path=shape.path)
    assert [_seen(entry) for entry in parsed.entries] == shape.entries
    if shape.sections is not None:
        assert [entry.section for entry in parsed.entries] == shape.sections


def test_chapters_are_followed_and_translations_are_not() -> None:
    main = parse_readme(
        "# Progress\n- English\n  - [Cutting](english/cutting.md)\n- [한국어](ko/README.md)\n- [中文](README_CN.md)\n"
        "- [Add yours](CONTRIBUTING.md)\n- [Notes](https://github.com/me/awesome-things/blob/main/english/notes.md)\n",
        repo="me/awesome-things",
    )
    assert main.files == ("english/cutting.md", "english/notes.md")
    part = parse_readme("# Cutting\n## Tools\n- [Saw](https://github.com/a/saw)\n", repo="me/awesome-things", path="english/cutting.md")  # fmt: skip
    assert [entry.section for entry in merge(main, [("english/cutting.md", part)]).entries] == [("Cutting", "Tools")]


CORPUS = os.environ.get("SCAFFOLD_AWESOME_CORPUS")


@pytest.mark.skipif(not CORPUS, reason="SCAFFOLD_AWESOME_CORPUS names no folder of real lists (owner/name/README.md)")
def test_real_lists_all_give_entries_and_none_takes_long() -> None:
    lists = local_lists(Path(CORPUS or ""))
    assert lists
    found: dict[str, int] = {}
    for item in lists:
        for path in sorted(item.place.rglob("*")):
            if path.suffix.lower() not in (".md", ".rst", ".markdown"):
                continue
            content = path.read_bytes()
            start = time.perf_counter()
            parsed = parse_readme(content, repo=item.repo, path=path.relative_to(item.place).as_posix())
            # Ten times what is usual: a time that grows with the square of the length is far above it.
            assert time.perf_counter() - start < 2 + len(content) / 200_000, path
            found[item.repo] = found.get(item.repo, 0) + len(parsed.entries)
            assert all(entry.title.strip() and entry.url.startswith("http") for entry in parsed.entries), path
    assert not [repo for repo, entries in found.items() if not entries]
