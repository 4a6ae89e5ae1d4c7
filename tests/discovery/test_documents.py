"""What many lists say of one repository, and what counts of it."""

from __future__ import annotations

from scaffold.discovery.documents import ListInfo, Mention, gather
from scaffold.discovery.fields import Fields, pack, unpack
from scaffold.discovery.ranking import Quality, quality


def _list(repo: str, entries: int = 100) -> ListInfo:
    return ListInfo(repo, repo, None, entries, repo, ())


def _mention(source: ListInfo, text: str | None = None, flags: tuple[str, ...] = ()) -> Mention:
    return Mention(source, "Tool", text, ("Tools",), flags)


def _citations(repo: str, *mentions: Mention) -> float:
    return gather(repo, mentions, None, None, (), lambda heading: ()).citations


def test_independent_lists_count_the_owners_own_and_pasted_words_hardly() -> None:
    two = _citations("a/tool", _mention(_list("x/l"), "one thing"), _mention(_list("y/l"), "another"))
    own = _citations("a/tool", _mention(_list("x/l"), "one thing"), _mention(_list("a/l"), "another"))
    words = "The very same sentence, which somebody pasted into both lists."
    pasted = _citations("a/tool", _mention(_list("x/l"), words), _mention(_list("y/l"), words))
    large = _citations("a/tool", _mention(_list("x/l"), "one thing"), _mention(_list("y/l", 20_000), "another"))
    assert two > large > own
    assert two > pasted


def test_the_owners_list_is_no_citation() -> None:
    document = gather("a/tool", [_mention(_list("a/l")), _mention(_list("x/l"))], None, None, (), lambda heading: ())
    assert document.cited_by == 1


def test_most_lists_decide_whether_it_is_maintained() -> None:
    gone = _mention(_list("x/l"), flags=("unmaintained",))
    fine = [_mention(_list("y/l")), _mention(_list("z/l"))]

    def unmaintained(*mentions: Mention) -> bool:
        return gather("a/tool", mentions, None, None, (), lambda heading: ()).unmaintained

    assert unmaintained(gone)
    assert not unmaintained(gone, *fine)


def test_stars_that_a_list_wrote_are_a_hint() -> None:
    starred = gather("a/tool", [_mention(_list("x/l"), "Good (⭐ 24K)")], None, None, (), lambda heading: ())
    assert starred.listed_stars == 24_000
    plain = gather("a/tool", [_mention(_list("x/l"), "Good")], None, None, (), lambda heading: ())
    assert plain.listed_stars is None
    assert starred.quality > plain.quality


def test_tasks_come_from_headings() -> None:
    document = gather("a/tool", [_mention(_list("x/l"))], None, None, (), lambda heading: (heading.lower(),))
    assert document.tasks == ("tools",)


def test_a_small_kept_project_outranks_a_famous_dead_one() -> None:
    dead = quality(Quality(grade=3, citations=8, stars=40_000, archived=True, idle_years=6))
    kept = quality(Quality(grade=2, citations=1, stars=800))
    assert kept > dead


def test_fields_come_back_as_they_were_packed() -> None:
    fields = Fields("name", "owner", "title", "", "말뭉치", [("a/b", "1.000", "part", "", "list")], [("part", "3")])
    assert unpack(pack(fields)) == fields
    assert unpack(pack(Fields("", "", "", "", "", [], []))) == Fields("", "", "", "", "", [], [])
