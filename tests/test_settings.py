"""The environment as settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scaffold.errors import UsageError
from scaffold.settings import Settings, load_settings, with_gh_token


def test_without_anything_set_it_is_github() -> None:
    settings = load_settings({})
    assert settings.server_url == "https://github.com"
    assert settings.api_url == "https://api.github.com"
    assert settings.token is None
    assert settings.home is None


def test_endpoints_and_hosts_come_from_the_environment() -> None:
    settings = load_settings(
        {
            "GITHUB_SERVER_URL": "http://127.0.0.1:8000/",
            "GITHUB_API_URL": "http://127.0.0.1:8000/api",
            "SCAFFOLD_ALLOWED_HOSTS": "Codeberg.org, git.example:8443,,",
            "SCAFFOLD_HOME": "/tmp/x",
        }
    )
    assert settings.server_url == "http://127.0.0.1:8000"
    assert settings.api_url == "http://127.0.0.1:8000/api"
    assert settings.allowed_hosts == ("codeberg.org", "git.example:8443")
    assert settings.home == Path("/tmp/x")


@pytest.mark.parametrize("url", ["github.com", "file:///x", "https://me:secret@h", "https://h:99999", "https://h/a b"])
def test_an_endpoint_that_is_no_address_is_named(url: str) -> None:
    with pytest.raises(UsageError, match="GITHUB_SERVER_URL"):
        load_settings({"GITHUB_SERVER_URL": url})


@pytest.mark.parametrize(
    ("environment", "token"),
    [
        ({"GITHUB_TOKEN": "one", "GH_TOKEN": "two"}, "one"),
        ({"GITHUB_TOKEN": "", "GH_TOKEN": "two"}, "two"),
        ({"GITHUB_TOKEN": " \n"}, None),
        ({"GITHUB_TOKEN": "one\n"}, "one"),
    ],
)
def test_which_token_counts(environment: dict[str, str], token: str | None) -> None:
    assert load_settings(environment).token == token


def test_a_token_never_shows() -> None:
    assert "canary" not in repr(Settings(token="canary"))
    with pytest.raises(UsageError) as caught:
        load_settings({"GITHUB_TOKEN": "canary\r\nX-Header: 1"})
    assert "canary" not in caught.value.message


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gh is a shell script")
def test_the_token_of_gh_for_the_server_it_belongs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\n[ "$4" = github.com ] && echo from-gh && exit 0\necho "no such host" >&2; exit 1\n')
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert with_gh_token(Settings()).token == "from-gh"
    assert with_gh_token(Settings(token="mine")).token == "mine"
    assert with_gh_token(Settings(server_url="https://git.example")).token is None


def test_without_gh_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert with_gh_token(Settings()).token is None
