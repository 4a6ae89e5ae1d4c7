"""What the environment says: endpoints, the token, trusted hosts and where scaffold keeps its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from scaffold.errors import UsageError

SERVER_URL = "https://github.com"
API_URL = "https://api.github.com"
_GH_SECONDS = 3.0
RAW_URL = "https://raw.githubusercontent.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """The endpoints in use and who is asking. The token never shows in a repr.

    Attributes:
        server_url: where git repositories are cloned from.
        api_url: GitHub's REST and GraphQL API.
        raw_url: single files, as `raw_url/OWNER/NAME/REF/PATH`.
        token: the user's GitHub token, if the environment holds one.
        home: SCAFFOLD_HOME, the one folder for scaffold's own files, if it is set.
        allowed_hosts: hosts besides the server's that repositories may come from.
    """

    server_url: str = SERVER_URL
    api_url: str = API_URL
    raw_url: str = RAW_URL
    token: str | None = field(default=None, repr=False)
    home: Path | None = None
    allowed_hosts: tuple[str, ...] = ()


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Raises:
        UsageError: an endpoint is not an http(s) address, or a token holds characters that no token has.
    """
    env = os.environ if environ is None else environ
    home = env.get("SCAFFOLD_HOME", "")
    return Settings(
        server_url=_endpoint(env, "GITHUB_SERVER_URL", SERVER_URL),
        api_url=_endpoint(env, "GITHUB_API_URL", API_URL),
        raw_url=_endpoint(env, "SCAFFOLD_RAW_URL", RAW_URL),
        token=_token(env),
        home=Path(home).expanduser() if home else None,
        allowed_hosts=_hosts(env),
    )


def with_gh_token(settings: Settings) -> Settings:
    """The same settings, with the token of the `gh` command line tool where no other one is set.

    Asks `gh` for the token of the server's own host; without `gh`, or signed out of it, nothing changes.
    """
    if settings.token:
        return settings
    import subprocess

    from scaffold import programs

    gh = programs.find("gh")
    if gh is None:
        return settings
    host = urlsplit(settings.server_url).netloc
    try:
        answer = subprocess.run(
            [gh, "auth", "token", "--hostname", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GH_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return settings
    token = answer.stdout.decode("ascii", "replace").strip()
    return replace(settings, token=token) if answer.returncode == 0 and _is_token(token) else settings


def _endpoint(env: Mapping[str, str], variable: str, default: str) -> str:
    text = env.get(variable, "").strip().rstrip("/") or default
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable or "@" in url.netloc or url.query or url.fragment or not _is_token(text):
        raise UsageError(
            f"{variable} is not an address that scaffold can use", hint=f"set it to an address such as {default}"
        )
    return text


def _token(env: Mapping[str, str]) -> str | None:
    for variable in ("GITHUB_TOKEN", "GH_TOKEN"):
        token = env.get(variable, "").strip()
        if token and not _is_token(token):
            raise UsageError(f"{variable} holds characters that no token has", hint="set it to the token alone")
        if token:
            return token
    return None


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    listed = env.get("SCAFFOLD_ALLOWED_HOSTS", "").split(",")
    return tuple(host.strip().lower() for host in listed if host.strip())
