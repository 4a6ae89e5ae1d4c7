"""What git said on stderr, as an error a person can act on."""

from __future__ import annotations

import re

from scaffold.errors import AuthError, NotFoundError, RateLimitError, ScaffoldError


class TransientError(ScaffoldError):
    """A cut, a stall or a server's hiccup: the same may well succeed a moment later."""


class MovedError(ScaffoldError):
    """The server sends us to another address, which nobody has looked at yet."""


TOOK_TOO_LONG = "scaffold ended it: it took too long"
"""What stands behind git's own words where a command's time was up."""

_BUSY = ("{what}: another git is at work there ({said})", "if there is none, remove that lock file and try again")

# The first pattern that occurs wins: a server that says "not found" while asking for a password means "not found".
# A status is what was "returned": of a cut, git also says "error: 404 bytes of body are still expected".
_NETWORK_HINT = "check the network connection, then run the same command again"
_DISK_HINT = "free some space or choose another folder with --dir, then run the same command again"
_PATTERNS: tuple[tuple[str, type[ScaffoldError], str, str], ...] = (
    # Not tried again: the next try would take as long.
    (f"{TOOK_TOO_LONG}$", ScaffoldError, "{what} took too long", "try again at a better connection"),
    (r"Unable to create '.*\.lock': File exists|cannot lock ref", TransientError, *_BUSY),
    (
        r"Remote branch .* not found|couldn't find remote ref|not our ref|unadvertised object",
        NotFoundError,
        "{what} has no such branch, tag or commit",
        "look at its branches and tags; a commit is given with all its 40 digits",
    ),
    (
        r"[Rr]epository not found|repository '.*' not found|returned error: 404|terminal prompts disabled",
        NotFoundError,
        "{what} was not found, or is private",
        "check the spelling; for a private repository set GITHUB_TOKEN",
    ),
    (
        r"returned error: 429",
        RateLimitError,
        "{what}: the server asks us to slow down",
        "wait some minutes and try again",
    ),
    (
        r"Authentication failed|returned error: 40[13]|Permission denied \(|Host key verification failed",
        AuthError,
        "{what}: the server did not let us in",
        "check that your token or ssh key is valid and may read this repository",
    ),
    (
        r"No space left on device|Disk quota exceeded|File too large",
        ScaffoldError,
        "{what}: the disk is full",
        _DISK_HINT,
    ),
    (
        r"dubious ownership",
        ScaffoldError,
        "{what}: git mistrusts the folder: it is another user's, or on a drive that knows no owners (exFAT)",
        'choose another folder with --dir, or have git trust all of them: git config --global --add safe.directory "*"',
    ),
    (
        r"error: invalid path|Filename too long",
        ScaffoldError,
        "{what} holds a file whose name this system cannot have ({said})",
        "for a name that is too long choose a shorter folder with --dir; Linux, also as WSL 2 on Windows, takes all",
    ),
    (
        r"Read-only file system|could not create (?:leading directories|work tree)|[^(]Permission denied(?! \()",
        ScaffoldError,
        "{what}: the folder cannot be written to",
        "choose another folder with --dir",
    ),
    (
        r"fsck error|[Ee]rror in object|disallowed submodule",
        ScaffoldError,
        "{what}: git refuses an object in its history as damaged or unsafe",
        "nothing was written; tell the owners of the repository",
    ),
    (
        r"returned error: 30[12378]",
        MovedError,
        "{what} has moved",
        "look it up in a browser and use its new name",
    ),
    (
        r"Operation too slow|timed out|Timeout was reached",
        TransientError,
        "{what}: the server stopped answering",
        _NETWORK_HINT,
    ),
    (
        r"Connection reset|Empty reply|transfer closed|RPC failed|early EOF|hung up|disconnect|returned error: 5\d\d",
        TransientError,
        "{what}: the connection broke off ({said})",
        _NETWORK_HINT,
    ),
    (
        r"Could not resolve|Failed to connect|[Cc]ould ?n[o']t connect|Connection refused|No route to host"
        r"|unreachable|SSL|certificate|TLS",
        ScaffoldError,
        "{what}: the server could not be reached ({said})",
        _NETWORK_HINT,
    ),
    (
        r"invalid index-pack output|unpack-objects abnormal exit",
        ScaffoldError,
        "{what}: git could not store what it received",
        "check the free disk space, the file size limit (ulimit -f) and the memory",
    ),
    (
        r"would be overwritten|Entry '.*' not uptodate",
        ScaffoldError,
        "{what}: files of yours are in the way of the update",
        "move or commit them, then run the same command again",
    ),
)


def explain(stderr: str, what: str) -> ScaffoldError:
    """The error that git's stderr stands for.

    Args:
        stderr: everything git wrote to it.
        what: what git was asked about, as the user knows it.
    """
    said = last_words(stderr)
    for pattern, kind, message, hint in _PATTERNS:
        if re.search(pattern, stderr):
            return kind(message.format(what=what, said=said), hint=hint)
    return ScaffoldError(f"{what}: git failed ({said})")


def busy_error(what: str, lock: str) -> TransientError:
    """The error for a repository in which another git holds a lock file."""
    message, hint = _BUSY
    return TransientError(message.format(what=what, said=f"{lock} exists"), hint=hint)


def last_words(stderr: str) -> str:
    """The line in which git names the reason, without its prefix."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    return (
        re.sub(r"^(?:fatal|error): (?:unable to access '.*?': )?", "", reasons[0]) if reasons else "it gave no reason"
    )
