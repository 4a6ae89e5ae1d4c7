"""Lists as people write them. Every README here is made up, in a shape that was seen."""

from __future__ import annotations

import pytest

from scaffold.discovery.awesome import ParsedList, merge, parse_readme


def _parse(text: str | bytes, path: str = "README.md") -> ParsedList:
    return parse_readme(text, repo="me/awesome-things", path=path)


def _repos(text: str | bytes, path: str = "README.md") -> list[str | None]:
    return [entry.repo for entry in _parse(text, path).entries]


# ruff: noqa: E501


def test_a_plain_list() -> None:
    parsed = _parse(
        "# Awesome Things [![Awesome](https://awesome.re/badge.svg)](https://awesome.re)\n\n"
        "> A gathering of things for people who like things.\n\n## Contents\n- [Tools](#tools)\n\n"
        "## :wrench: Tools\n### Small ones\n- [Hammer](https://github.com/a/hammer) - Drives **nails** home.\n"
        "- [Site](https://saw.example.org) - Cuts. ([GitHub](https://github.com/b/saw))\n"
        "## License\n- [CC0](https://github.com/c/zero)\n"
    )
    assert parsed.title == "Awesome Things"
    assert parsed.description == "A gathering of things for people who like things."
    hammer, saw = parsed.entries
    assert (hammer.title, hammer.repo, hammer.description) == ("Hammer", "a/hammer", "Drives nails home.")
    assert hammer.section == ("Tools", "Small ones")
    assert (saw.title, saw.url, saw.repo) == ("Site", "https://saw.example.org", "b/saw")


@pytest.mark.parametrize(
    ("text", "repos"),
    [
        ("- [Anvil](https://github.com/a/a), [Bolt](https://github.com/b/b) and [Clamp](https://github.com/c/c)", ["a/a", "b/b", "c/c"]),
        ("- [Anvil](https://github.com/a/a) - wraps [Bolt](https://github.com/b/b) nicely", ["a/a"]),
        ("1. **[Anvil](https://github.com/a/a)** text\n2. [Bolt][ref]\n\n[ref]: https://github.com/b/b", ["a/a", "b/b"]),
        ("| name | about |\n|--|--|\n| [Anvil](https://github.com/a/a) | it does |\n| paper [code](https://github.com/b/b) | x |", ["a/a", "b/b"]),
        ("<details><summary><b><a href=\"https://github.com/a/a\">Anvil</a></b> good</summary>\n\n- [GitHub](https://github.com/a/a)\n\n```\ngit clone https://github.com/z/z\n```\n</details>", ["a/a"]),
        ("<table><tr><td><a href='https://github.com/a/a'> Anvil </a></td><td>what</td></tr></table>", ["a/a"]),
        ("### [Anvil](https://github.com/a/a)\nSome words on it.\n### Bolt\n- [code](https://github.com/b/b)", ["a/a", "b/b"]),
        ("[Anvil](https://github.com/a/a): starts a paragraph", ["a/a"]),
        ("<!-- - [Anvil](https://github.com/a/a) -->\n- [Bolt](https://github.com/b/b)", ["b/b"]),
        ("- [![badge](https://img.shields.io/x)](https://github.com/z/z/actions) [Anvil](https://github.com/a/a)", ["a/a"]),
        ("- [me](https://github.com/me/awesome-things)\n- [Anvil](https://github.com/a/a)", ["a/a"]),
        ("- [Anvil](https://github.com/a/a)\n- [again](https://github.com/A/A/tree/x)", ["a/a"]),
        ("- Title of a paper. [[pdf]](https://p.example/1) [[code]](https://github.com/a/a)", ["a/a"]),
        ("- Title [\\[paper\\]](https://p.example/1) [\\[code\\]](https://github.com/a/a)", ["a/a"]),
        ("- [Anvil](https://github.com/a/a text goes on\n- [Bolt](https://github.com/b/b)", ["a/a", "b/b"]),
        ("\t- [Anvil](https://github.com/a/a)\n\t\t- [Bolt](https://github.com/b/b)", ["a/a", "b/b"]),
        ("- [Anvil](https://github.com/a/\u200ba)\n- \u3010[Bolt](https://github.com/b/b)\u3011", ["a/a", "b/b"]),
    ],
)  # fmt: skip
def test_shapes_of_entries(text: str, repos: list[str]) -> None:
    found = _repos(f"# List\n\n## Part\n\n{text}\n")
    assert [repo for repo in found if repo] == repos


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_other_line_ends_a_mark_at_the_start_and_other_encodings(ending: str) -> None:
    text = "# List\n## Café\n- [Anvil](https://github.com/a/a) naïve".replace("\n", ending)
    assert _repos(b"\xef\xbb\xbf" + text.encode()) == ["a/a"]
    assert _parse(text.encode("cp1252")).entries[0].section == ("Café",)
    assert _repos(text.encode("utf-16")) == ["a/a"]


def test_restructured_text() -> None:
    text = (
        "List of things\n==============\n\nPart\n----\n\n* `Anvil <https://github.com/a/a>`_ - one\n* `Bolt`_ two\n\n"
        ".. _Bolt: https://github.com/b/b\n.. image:: https://github.com/z/z.png\n"
    )
    parsed = _parse(text, "README.rst")
    assert parsed.title == "List of things"
    assert [(entry.title, entry.repo, entry.section) for entry in parsed.entries] == [
        ("Anvil", "a/a", ("Part",)),
        ("Bolt", "b/b", ("Part",)),
    ]


def test_a_mention_in_a_sentence_is_no_entry() -> None:
    entries = "".join(f"- [Tool {number}](https://github.com/a/t{number})\n" for number in range(4))
    text = f"# L\n## P\nThis was inspired by [Bolt](https://github.com/b/b).\n\n{entries}"
    assert "b/b" not in _repos(text)


def test_flags_come_from_plain_words() -> None:
    text = (
        "# L\n## P\n- ~~[Anvil](https://github.com/a/a)~~\n- [Bolt](https://github.com/b/b) no longer maintained\n"
        "- [Clamp](https://github.com/c/c) [archived]\n- [Drill](https://github.com/d/d) keeps an archive of maintained things\n"
    )
    assert [entry.flags for entry in _parse(text).entries] == [("struck",), ("unmaintained",), ("archived",), ()]


def test_a_group_of_items_is_a_section_and_an_entry_is_none() -> None:
    text = "# L\n## P\n- Group\n  - [Anvil](https://github.com/a/a)\n- [Bolt](https://github.com/b/b)\n  - [Clamp](https://github.com/c/c)\n"
    assert [entry.section for entry in _parse(text).entries] == [("P", "Group"), ("P",), ("P",)]


def test_a_way_back_to_the_top_is_no_part_of_a_section() -> None:
    text = "# L\n## P ([back to top](#l))\n- **Rust** | [Back to Top](#l)\n  - [Anvil](https://github.com/a/a)\n"
    assert _parse(text).entries[0].section == ("P", "Rust")


def test_a_contents_heading_of_the_first_level_does_not_swallow_the_list() -> None:
    assert _repos("L\n=\n\nContents\n=\n* [x](#x)\n\n## X\n- [Anvil](https://github.com/a/a)\n") == ["a/a"]


def test_an_index_of_files_is_followed_and_merged() -> None:
    main = _parse("# L\n- [Deep](chapters/deep.md)\n- [Help](CONTRIBUTING.md)\n- [中文](README.zh.md)\n")
    assert main.files == ("chapters/deep.md",)
    part = _parse("# Deep things\n## New\n- [Anvil](https://github.com/a/a)\n", "chapters/deep.md")
    merged = merge(main, [("chapters/deep.md", part)])
    assert [(entry.repo, entry.section) for entry in merged.entries] == [("a/a", ("Deep things", "New"))]


def test_a_notice_says_where_the_list_went() -> None:
    assert _parse("# L\nThis list has moved to [here](https://github.com/fresh/list).\n").moved_to == "fresh/list"
    assert (
        _parse("# L\n## P\n- [Anvil](https://github.com/a/a) moved my heart\n- [Bolt](https://github.com/b/b)").moved_to
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "![" * 100_000,
        "<a " * 100_000,
        "<!--" * 50_000,
        "`" * 100_000 + "a",
        "> " * 20_000 + "x",
        "".join(f"{'  ' * depth}- a\n" for depth in range(600)),
        "[a](https://github.com/a/b) " * 30_000,
        "- [a](https://github.com/a/b)\n" * 20_000,
        "# a\n" * 10_000,
        "<details>" * 20_000,
        "|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n",
        "x" * 1_000_000,
        "[a](" * 50_000,
        "**" * 100_000,
        "~~~\n" * 50_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_texts_end_soon_and_give_bounded_results(text: str) -> None:
    # The suite's own time limit for a test would end what does not end by itself.
    parsed = _parse(text)
    assert len(parsed.entries) <= 50_000
    assert all(len(entry.title) <= 200 and len(entry.url) <= 2000 for entry in parsed.entries)


def test_nothing_in_a_readme_reaches_the_terminal() -> None:
    text = "# L\x1b[2J\n## P\u202e\n- [Anvil\x1b]8;;x\x07](https://github.com/a/a) te\x9bxt\n- [Bolt](javascript:alert) [Clamp](file:///etc/passwd)\n"
    parsed = _parse(text)
    everything = f"{parsed.title} {parsed.entries}"
    assert not any(char in everything for char in "\x1b\x07\x9b\u202e")
    assert [entry.url for entry in parsed.entries] == ["https://github.com/a/a"]
