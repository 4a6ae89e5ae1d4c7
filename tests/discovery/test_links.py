from __future__ import annotations

import pytest

from scaffold.discovery.links import own_file, repository_of


@pytest.mark.parametrize(
    ("url", "repo"),
    [
        ("https://github.com/one/two", "one/two"),
        ("http://www.github.com/One/Two.git", "One/Two"),
        ("https://github.com/one/two/tree/main/part", "one/two"),
        ("https://github.com/one/two#readme", "one/two"),
        ("https://github.com/one/two?ref=list", "one/two"),
        ("https://GitHub.com/one/two/issues/3", "one/two"),
        ("https://github.com/one/two).", "one/two"),
        ("https://github.com/one", None),
        ("https://github.com/topics/nlp", None),
        ("https://github.com/sponsors/one", None),
        ("https://gist.github.com/one/abc", None),
        ("https://one.github.io/two", None),
        ("https://github.com.example.org/one/two", None),
        ("javascript:github.com/one/two", None),
        ("https://github.com/one/..", None),
        ("https://[github.com/one/two", None),
    ],
)
def test_an_address_is_one_repository_or_none(url: str, repo: str | None) -> None:
    assert repository_of(url) == repo


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("chapters/deep.md", "chapters/deep.md"),
        ("./speech.md#top", "speech.md"),
        ("https://github.com/me/list/blob/main/vision.md", "vision.md"),
        ("papers/", "papers/README.md"),
        ("CONTRIBUTING.md", None),
        ("README.zh.md", None),
        ("en/README.md", None),
        ("../outside.md", None),
        ("https://github.com/other/list/blob/main/x.md", None),
        ("#section", None),
        ("README.md", None),
    ],
)
def test_further_texts_of_the_same_list_are_followed(url: str, path: str | None) -> None:
    assert own_file(url, "me/list", "README.md") == path
