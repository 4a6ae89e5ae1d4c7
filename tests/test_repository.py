"""Names and addresses: what passes, and what never does."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaffold.errors import RefusedError, UsageError
from scaffold.repository import (
    RepositoryName,
    RepositorySpec,
    check_ref,
    parse_name,
    parse_spec,
    same_address,
    shown,
)

_GITHUB = "https://github.com"


def _spec(text: str, server_url: str = _GITHUB, allowed_hosts: tuple[str, ...] = ()) -> RepositorySpec:
    return parse_spec(text, server_url=server_url, allowed_hosts=allowed_hosts)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("Karpathy/nanoGPT", None),
        ("Karpathy/nanoGPT.git", None),
        ("Karpathy/nanoGPT@v1.0", "v1.0"),
        ("Karpathy/nanoGPT@feature/한글", "feature/한글"),
        ("https://github.com/Karpathy/nanoGPT", None),
        ("https://github.com/Karpathy/nanoGPT.git", None),
        ("https://github.com/Karpathy/nanoGPT/", None),
        ("https://github.com/Karpathy/nanoGPT#readme", None),
        ("https://github.com/Karpathy/nanoGPT?tab=readme-ov-file#%EC%84%A4%EC%B9%98", None),
        ("https://github.com/Karpathy/nanoGPT/tree/dev", "dev"),
        ("https://github.com/Karpathy/nanoGPT/tree/feature/x/", "feature/x"),
        ("https://www.github.com/Karpathy/nanoGPT", None),
        ("HTTPS://GitHub.com:443/Karpathy/nanoGPT", None),
        ("github.com/Karpathy/nanoGPT", None),
    ],
)
def test_every_way_of_writing_a_repository_gives_one_address(text: str, ref: str | None) -> None:
    assert _spec(text) == RepositorySpec(
        RepositoryName("Karpathy", "nanoGPT"), "https://github.com/Karpathy/nanoGPT.git", ref
    )


@pytest.mark.parametrize("text", ["git@github.com:a/b.git", "git@GitHub.com:a/b", "ssh://git@github.com/a/b.git"])
def test_ssh_addresses_of_the_server(text: str) -> None:
    assert _spec(text).url == "git@github.com:a/b.git"


def test_hosts_that_the_user_lists_are_allowed_by_https_only() -> None:
    hosts = ("codeberg.org", "git.example:8443")
    assert _spec("https://codeberg.org/a/b", allowed_hosts=hosts).url == "https://codeberg.org/a/b.git"
    assert _spec("https://git.example:8443/a/b", allowed_hosts=hosts).url == "https://git.example:8443/a/b.git"
    for text in ("http://codeberg.org/a/b", "https://codeberg.org:8443/a/b", "https://git.example/a/b"):
        with pytest.raises(RefusedError):
            _spec(text, allowed_hosts=hosts)


def test_plain_http_only_to_the_exact_host_and_port_of_the_server() -> None:
    server = "http://127.0.0.1:8000"
    assert _spec("a/b", server).url == "http://127.0.0.1:8000/a/b.git"
    assert _spec("http://127.0.0.1:8000/a/b", server).url == "http://127.0.0.1:8000/a/b.git"
    for text in ("http://127.0.0.1/a/b", "http://127.0.0.1:8001/a/b", "http://localhost:8000/a/b"):
        with pytest.raises(RefusedError):
            _spec(text, server)


_UNSAFE = [
    "-u/x",
    "--upload-pack=touch x",
    "-oProxyCommand=x/y",
    "ext::sh -c id",
    "ext::sh",
    "EXT::sh",
    "::a/b",
    "file:///etc/passwd",
    "file:a/b",
    "ext://a/b",
    "git://github.com/a/b",
    "ftp://github.com/a/b",
    "javascript:alert(1)",
    "http://github.com/a/b",
    "ssh://-oProxyCommand=x/a/b",
    "ssh://root@github.com/a/b",
    "ssh://git@evil.example/a/b",
    "git@evil.example:a/b",
    "git@-oProxyCommand=x:a/b",
    "root@github.com:a/b",
    "https://evil.example/a/b",
    "https://github.com.evil.example/a/b",
    "https://github.com@evil.example/a/b",
    "https://user:secret@github.com/a/b",
    "https://token@github.com/a/b",
    "https://github.com./a/b",
    "https://github.com:444/a/b",
    "https://gіthub.com/a/b",
    "https://github.com\\@evil.example/a/b",
    "https://github.com%2eevil.example/a/b",
    "https://github.com/a/b%0a",
    "https://github.com/a/b\n",
    "https://github.com/a/..",
    "https://github.com/../a/b",
    "https://github.com/a/b#x y",
    "a/b\n",
    "a/b\t",
    "a /b",
    "a/b\x00",
    "a/..",
    "../b",
    "a/%2e%2e",
    "a\\b",
    "a/b@-x",
    "a/b@--upload-pack=x",
    "a/b@\x1b[2J",
    "a/b@v1\u202e",
    "a/b\u200b",
    "a/b\u00a0",
    "https://github.com/a/b?x\r\ny",
    "https://github.com/-a/b%00",
    "https://github.com/a/--upload-pack=x/../b",
    "ssh://git@-oProxyCommand=x/a/b",
    "ssh://git@github.com:-oProxyCommand=x/a/b",
    "https://[::1]/a/b",
    "https://127.0.0.1/a/b",
    "https://github.com:0x1bb/a/b",
    "a/b@v1..v2",
    "a/b@x y",
    "C:a/b",
    "/etc/../passwd",
]


@pytest.mark.parametrize("text", _UNSAFE)
def test_unsafe_input_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        _spec(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nlp", "강화학습", "a/", "/b", "a/b/c", "a/.", "a/.git", "강화/학습", "a.b/c", "a/b#c"),
        *("a/b@", "a/b@x~1", "a/b@.x", "a/b@x.lock"),
        *("https://github.com/", "https://github.com/a", "https://github.com/a/b/issues/3"),
    ],
)
def test_merely_malformed_input_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        _spec(text)


def test_a_topic_in_place_of_a_repository_leads_to_the_search() -> None:
    with pytest.raises(UsageError) as caught:
        parse_name("nlp")
    assert caught.value.hint is not None
    assert "scaffold search nlp" in caught.value.hint


@pytest.mark.parametrize("text", ["https://me:secret@github.com/a/b", "https://me:secret@x/a b", "me:secret@x:a/b"])
def test_a_password_is_not_repeated_in_the_message(text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        _spec(text)
    assert "secret" not in caught.value.message
    assert "secret" not in shown(text)


_PIECES = st.sampled_from(
    [
        *("https://", "http://", "ssh://", "git@", "github.com", "evil.example", "ext::", "file:", "www.", "tree/"),
        *("..", "%2f", "%0a", "\\", "@", ":", "/", "-", "--", "#", "?", ".git", "a", "b", "\n", "\x00", " ", ".", "~"),
        *("٠", "K"),
    ]
)


@settings(max_examples=500)
@given(st.lists(_PIECES, max_size=9).map("".join) | st.text(max_size=30))
@example("https://github.com/a/b")
@example("git@github.com:a/b")
def test_whatever_passes_is_a_plain_address_on_the_server(text: str) -> None:
    try:
        spec = _spec(text)
    except (RefusedError, UsageError):
        return
    name = r"[A-Za-z0-9_][A-Za-z0-9_-]*/(?!\.{1,2}\.git$)[A-Za-z0-9._-]+"
    assert re.fullmatch(rf"(?:https://github\.com/|git@github\.com:){name}\.git", spec.url)
    assert ".." not in spec.url
    assert spec.ref is None or check_ref(spec.ref) == spec.ref


_HOSTS = ("code.example", "git.example:8443", "[::1]:80")
_MORE = ["code.example", "git.example", "[::1]", "ssh.example", ":8443", ":443", ":22", "git@", "evil@", "ssh://git@"]


@settings(max_examples=500)
@given(st.lists(_PIECES | st.sampled_from(_MORE), max_size=8).map("".join))
@example("ssh://git@git.example:8443/a/b")
@example("ssh://git@code.example:22/a/b")
@example("git@git.example:8443:a/b")
@example("https://git.example:8443/a/b")
@example("https://code.example/a/b@v1")
@example("code.example/a/b")
def test_whatever_passes_leads_to_a_host_that_was_allowed(text: str) -> None:
    """As git and ssh will read the address, not as it looks."""
    try:
        url = _spec(text, allowed_hosts=_HOSTS).url
    except (RefusedError, UsageError):
        return
    name = r"[A-Za-z0-9_][A-Za-z0-9_-]*/(?!\.{1,2}\.git$)[A-Za-z0-9._-]+\.git"
    https = rf"https://(?:github\.com|code\.example|git\.example:8443|\[::1\]:80)/{name}"
    assert re.fullmatch(rf"{https}|git@(?:github\.com|code\.example):{name}", url), url


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["a", "/", ".", ".lock", "@", "@{", "~", "^", ":", "*", "[", "\\", "한"])).map("".join))
def test_refs_follow_the_rules_of_git(text: str) -> None:
    by_git = subprocess.run(["git", "check-ref-format", f"refs/heads/{text}"], check=False).returncode == 0
    try:
        check_ref(text)
    except (RefusedError, UsageError):
        # A branch called @ is possible, but git itself reads @ as HEAD.
        assert not by_git or text == "@"
    else:
        assert by_git


def test_names_keep_their_letters_and_compare_without_case() -> None:
    name = parse_name("Karpathy/nanoGPT")
    assert str(name) == "Karpathy/nanoGPT"
    assert name.same_as(parse_name("karpathy/NANOgpt"))
    assert not name.same_as(parse_name("karpathy/minGPT"))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("https://github.com/A/b", "https://github.com/a/B.git", True),
        ("git@github.com:a/b.git", "https://github.com/a/b/", True),
        ("ssh://git@github.com/a/b", "https://github.com/a/b.git", True),
        ("https://github.com/a/b", "https://github.com/a/c", False),
        ("https://github.com/a/b", "https://evil.example/a/b", False),
        ("/srv/a/b", "https://github.com/a/b", False),
    ],
)
def test_same_address(left: str, right: str, same: bool) -> None:
    assert same_address(left, right) is same
