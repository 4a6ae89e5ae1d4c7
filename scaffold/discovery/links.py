"""Links: which repository an address points to, and which further text of the same list."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from urllib.parse import unquote, urlsplit

HOSTS = ("github.com",)
# First parts of GitHub's own addresses that no user is called.
_NOT_OWNERS = frozenset(
    (
        "about account apps blog codespaces collections contact customer-stories dashboard enterprise events"
        " explore features github-copilot gist home issues join login logout marketplace mobile new notifications"
        " orgs organizations pricing pulls readme search security sessions settings signup site sponsors stars team"
        " teams topics trending user-attachments users watching wiki"
    ).split()
)
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
# What people leave at the end of an address by mistake.
_TRAILING = ".,;:!?)]}>'\"*"

_TEXT_FILE = re.compile(r"\.(?:md|markdown|mdown|rst)$", re.IGNORECASE)
_NO_PART = re.compile(
    r"(?:contributing|contribute|license|licence|code[-_]of[-_]conduct|changelog|changes|history|security|authors"
    r"|pull_request_template|issue_template|todo|faq|about|sponsors?|style[-_]?guide|format|template)"
    r"(?:[._-].*)?$",
    re.IGNORECASE,
)
_LANGUAGE = (
    r"(?:zh|cn|ko|kr|ja|jp|fr|de|es|ru|pt|br|it|tr|vi|ar|fa|id|pl|uk|hi|en|us|tw|hk|hans|hant"
    r"|korean|chinese|japanese|english)"
)
_TRANSLATION = re.compile(rf"readme[._-]{_LANGUAGE}(?:[-_]{_LANGUAGE})*$|readme\.j2$", re.IGNORECASE)
_LANGUAGE_FOLDER = re.compile(
    rf"(?:docs?|translations?|i18n|l10n|lang)?/?{_LANGUAGE}(?:[-_]{_LANGUAGE})*", re.IGNORECASE
)


@lru_cache(maxsize=4096)
def repository_of(url: str, *, server_hosts: tuple[str, ...] = HOSTS) -> str | None:
    """The repository that an address points into, as `Owner/Name` with the letters as written.

    None for users, gists, topics and GitHub's own pages, for other hosts and for `*.github.io`.
    """
    if not any(host in url.lower() for host in server_hosts):
        return None
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or host not in server_hosts:
        return None
    path = [part for part in parts.path.split("/") if part]
    if len(path) < 2:
        return None
    owner, name = path[0], path[1].rstrip(_TRAILING).removesuffix(".git")
    if owner.lower() in _NOT_OWNERS or not _OWNER.fullmatch(owner):
        return None
    if not _NAME.fullmatch(name) or name.strip(".") == "":
        return None
    return f"{owner}/{name}"


@lru_cache(maxsize=4096)
def is_web(url: str) -> bool:
    """Whether an address may be offered: http or https with a host, nothing else."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def own_file(url: str, repo: str, path: str) -> str | None:
    """The path of a further text of the same list that a link leads to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    target = unquote(parts.path)
    if parts.scheme or parts.netloc:
        if (repository_of(url) or "").casefold() != repo.casefold():
            return None
        pieces = target.split("/", 5)  # /owner/name/blob/branch/path
        if len(pieces) < 6 or pieces[3] not in ("blob", "tree"):
            return None
        target = pieces[5]
    elif not target or target.startswith("/"):
        target = target.lstrip("/")
    else:
        target = posixpath.join(posixpath.dirname(path), target)
    if not target:
        return None
    target = posixpath.normpath(target)
    if target.startswith("..") or target == "." or target == path:
        return None
    if not _TEXT_FILE.search(target):
        if "." in posixpath.basename(target) or not url.rstrip().endswith("/"):
            return None
        target = f"{target}/README.md"
    stem = posixpath.basename(target).rpartition(".")[0]
    folder = posixpath.dirname(target)
    if _NO_PART.fullmatch(stem) or _TRANSLATION.fullmatch(stem) or target.startswith(".github/"):
        return None
    if stem.casefold() == "readme" and (not folder or _LANGUAGE_FOLDER.fullmatch(folder)):
        return None
    return target
