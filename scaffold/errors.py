"""The errors a user can meet. Each says what happened to which input, and what to do next."""

from __future__ import annotations


class ScaffoldError(Exception):
    """Something failed and is explained.

    Args:
        message: what happened, naming the input.
        hint: what to do next, if there is something.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ScaffoldError):
    """The command was called with something that does not exist or does not fit."""

    exit_code = 2


class NotFoundError(ScaffoldError):
    """A repository, project or file that was named is not there."""

    exit_code = 3


class RefusedError(ScaffoldError):
    """Refused because it is unsafe or not trusted."""

    exit_code = 4


class AuthError(ScaffoldError):
    """Not signed in, or a permission is missing."""

    exit_code = 5


class RateLimitError(ScaffoldError):
    """The server asks us to wait."""

    exit_code = 6


class PartialError(ScaffoldError):
    """Some of several failed."""

    exit_code = 7
