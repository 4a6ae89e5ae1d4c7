"""What a repository is called and where it is fetched from.

Names come from people, files and web pages. Only what is known to be harmless passes: `owner/name`, and addresses on
hosts the user trusts. The address that git is given is always built here from the parts that were recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from scaffold.errors import RefusedError, UsageError

_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SSH = re.compile(r"(?P<user>[^@/:]*)@(?P<host>[^@/:]*):(?P<path>.*)")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FORMS = "use owner/name, owner/name@ref, or the https address of a repository"


@dataclass(frozen=True, slots=True, order=True)
class RepositoryName:
    """`owner/name`, with the letters as written. GitHub takes names for equal whatever their case."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def key(self) -> str:
        """The same text for every way of writing this name."""
        return str(self).casefold()

    def same_as(self, other: RepositoryName) -> bool:
        """Whether both name one repository."""
        return self.key == other.key


@dataclass(frozen=True, slots=True)
class RepositorySpec:
    """A repository to fetch: its name, the address git is given, and a branch, tag or full commit if one was asked."""

    name: RepositoryName
    url: str
    ref: str | None = None


def parse_name(text: str) -> RepositoryName:
    """Read `owner/name`.

    Raises:
        RefusedError: the text is unsafe as a name (options, control characters, `..`).
        UsageError: the text is not `owner/name`.
    """
    _refuse_unsafe(text)
    owner, slash, name = text.partition("/")
    if not slash:
        raise UsageError(
            f"{text!r} is not a repository: the form is owner/name", hint=f"to look for one: scaffold search {text}"
        )
    name = name.removesuffix(".git")
    if not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name) or name.lower() in {".", ".git"}:
        raise UsageError(f"{text!r} is not a repository name", hint="write it as owner/name")
    return RepositoryName(owner, name)


def parse_spec(text: str, *, server_url: str, allowed_hosts: Iterable[str] = ()) -> RepositorySpec:
    """Read a repository as a person types or pastes it.

    Args:
        text: `owner/name`, `owner/name@ref`, an https address (also with `.git`, `/tree/REF`, `#readme`, `www.`) or
            `git@host:owner/name`.
        server_url: where `owner/name` lives. Plain http is taken for its exact host and port only.
        allowed_hosts: further hosts (`host` or `host:port`) that the user trusts.

    Raises:
        RefusedError: unsafe, or on a host that nobody allowed.
        UsageError: merely malformed.
    """
    server = urlsplit(server_url)
    _refuse_unsafe(text.partition("#")[0])
    if _has_control(text):
        raise RefusedError(f"refused {shown(text)!r}: it holds white space or control characters", hint=_FORMS)
    hosts = {_authority(server), *(host.strip().lower() for host in allowed_hosts)} - {""}
    if ssh := _SSH.fullmatch(text):
        return _spec_from_ssh(text, user=ssh["user"], host=ssh["host"], path=ssh["path"], hosts=hosts)
    if _SCHEME.match(text):
        return _spec_from_url(text, server=server, hosts=hosts)
    if ":" in text:
        raise RefusedError(f"refused {shown(text)!r}: not an address that scaffold opens", hint=_FORMS)
    if text.count("/") >= 2 and text.partition("/")[0].lower().removeprefix("www.") in hosts:
        return _spec_from_url(f"{server.scheme}://{text}", server=server, hosts=hosts)
    body, at, ref = text.partition("@")
    name = parse_name(body)
    return RepositorySpec(name, f"{server_url.rstrip('/')}/{name}.git", check_ref(ref) if at else None)


def check_ref(text: str) -> str:
    """Give back a branch, tag or commit name that git accepts; the rules are those of `git check-ref-format`.

    Raises:
        RefusedError: unsafe on a command line or in a path.
        UsageError: not a name that git allows.
    """
    if text.startswith("-") or ".." in text or _has_control(text):
        raise RefusedError(f"refused the ref {text!r}: unsafe", hint="give a branch, a tag or a full commit")
    parts = text.split("/")
    wrong = (
        not text
        or text == "@"
        or "@{" in text
        or any(char in "~^:?*[\\" for char in text)
        or text.endswith(".")
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if wrong:
        raise UsageError(f"{text!r} is not a ref that git allows", hint="give a branch, a tag or a full commit")
    return text


def is_commit(ref: str) -> bool:
    """Whether a ref is a full commit id (SHA-1 or SHA-256, lower case)."""
    return bool(_COMMIT.fullmatch(ref))


def same_address(left: str, right: str) -> bool:
    """Whether two addresses name the same repository: transport, case, `.git` and a trailing slash do not matter."""
    return _place(left) == _place(right)


def shown(text: str) -> str:
    """The text of an address as it may be repeated to the user: without a user or password in it."""
    return re.sub(r"//[^/]*@|^[^/@]*:[^/@]*@", lambda found: "//***@" if found[0].startswith("//") else "***@", text)


def _place(url: str) -> str:
    text = url.strip().rstrip("/").removesuffix(".git")
    text = f"{ssh['host']}/{ssh['path']}" if (ssh := _SSH.fullmatch(text)) else _SCHEME.sub("", text)
    return text.removeprefix("git@").casefold()


def _refuse_unsafe(text: str) -> None:
    """Stop what could be an option, another transport or a way out of the folder, however the rest looks."""
    if not text:
        raise UsageError("an empty repository name", hint=_FORMS)
    reason = None
    if text.startswith("-"):
        reason = "it starts with '-'"
    elif _has_control(text):
        reason = "it holds white space or control characters"
    elif "::" in text:
        reason = "it names a git transport"
    elif "%" in text or "\\" in text:
        reason = "it holds an escaped character"
    elif ".." in text:
        reason = "it holds '..'"
    if reason:
        raise RefusedError(f"refused {shown(text)!r}: {reason}", hint=_FORMS)


def _has_control(text: str) -> bool:
    return any(char.isspace() or not char.isprintable() for char in text)


def _authority(url: SplitResult) -> str:
    """`host` or `host:port`, in lower case, without the port that the scheme implies."""
    try:
        port = url.port
    except ValueError:
        return ""
    default = {"https": 443, "http": 80}.get(url.scheme.lower())
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    return host if port in (None, default) else f"{host}:{port}"


def _spec_from_url(text: str, *, server: SplitResult, hosts: set[str]) -> RepositorySpec:
    try:
        url = urlsplit(text)
    except ValueError:
        raise UsageError(f"{text!r} is not an address", hint=_FORMS) from None
    scheme = url.scheme.lower()
    if scheme == "ssh":
        host = url.netloc.rpartition("@")
        return _spec_from_ssh(text, user=host[0], host=host[2], path=url.path[1:], hosts=hosts)
    if "@" in url.netloc:
        raise RefusedError(
            f"refused {shown(text)!r}: it holds a user or password",
            hint="give the address without it; a token is read from GITHUB_TOKEN",
        )
    authority = _authority(url)
    plain_host = authority.removeprefix("www.")
    authority = plain_host if plain_host in hosts else authority
    is_server = (scheme, authority) == (server.scheme.lower(), _authority(server))
    if not is_server and scheme != "https":
        raise RefusedError(f"refused {shown(text)!r}: only https and ssh addresses are opened", hint=_FORMS)
    if not is_server and authority not in hosts:
        raise _untrusted(text, authority)
    prefix = server.path.rstrip("/") if is_server else ""
    path, ref = url.path, None
    if not path.startswith(f"{prefix}/"):
        raise UsageError(f"{text!r} is not a repository on {authority}", hint=_FORMS)
    parts = path.removeprefix(prefix)[1:].rstrip("/").split("/", 3)
    if len(parts) == 4 and parts[2] == "tree":
        ref = check_ref(parts[3])
        parts = parts[:2]
    if len(parts) != 2:
        raise UsageError(f"{text!r} is not the address of a repository", hint=_FORMS)
    name = parse_name("/".join(parts))
    return RepositorySpec(name, f"{scheme}://{authority}{prefix}/{name}.git", ref)


def _spec_from_ssh(text: str, *, user: str, host: str, path: str, hosts: set[str]) -> RepositorySpec:
    if user != "git":
        raise RefusedError("refused an ssh address whose user is not 'git'", hint="the form is git@host:owner/name")
    # A port that was allowed is one of https; in `git@host:path` it would be a part of the path.
    if host.lower() not in hosts or ":" in host:
        raise _untrusted(text, host)
    name = parse_name(path.rstrip("/"))
    return RepositorySpec(name, f"git@{host.lower()}:{name}.git")


def _untrusted(text: str, host: str) -> RefusedError:
    return RefusedError(
        f"refused {shown(text)!r}: {host or 'it'} is not a host that scaffold may talk to",
        hint="allow a host you trust with SCAFFOLD_ALLOWED_HOSTS=host",
    )
