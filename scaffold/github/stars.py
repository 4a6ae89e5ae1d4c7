"""Stars of the user's own on GitHub: given and taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scaffold.errors import RateLimitError, ScaffoldError
from scaffold.github import errors
from scaffold.github.api import WRITE_PAUSE, GitHub
from scaffold.github.deadline import Deadline
from scaffold.github.refusals import STAR, no_token
from scaffold.repository import RepositoryName, parse_name
from scaffold.settings import Settings

_SECONDS_EACH = 20.0


@dataclass(frozen=True, slots=True)
class Star:
    """What became of one star.

    Attributes:
        repo: `owner/name`, or what was typed where that is no name.
        status: `starred` also where the star was there before, and `unstarred` where there was none.
        failure: why it failed.
    """

    repo: str
    status: Literal["starred", "unstarred", "failed"]
    failure: ScaffoldError | None = None

    def to_json(self) -> dict[str, str | None]:
        """The star as `scaffold star --json` prints it."""
        error = self.failure.message if self.failure else None
        return {"repo": self.repo, "status": self.status, "error": error}


def star(repos: Sequence[str], settings: Settings, *, remove: bool = False) -> Iterator[Star]:
    """Star repositories, or take their stars away. Each comes back as it is done, a failure as a value.

    What would fail in the same way for all that follow (a limit, a token that may not) is asked only once.

    Args:
        repos: names; one that is given twice is starred once.
        settings: endpoint and token.
        remove: take the stars away.
    """
    ended: ScaffoldError | None = None if settings.token else no_token(STAR)
    wanted: dict[str, str] = {}
    for repo in repos:
        wanted.setdefault(repo.casefold(), repo)
    deadline = Deadline.after(_SECONDS_EACH * (len(wanted) + 1))
    with GitHub(settings, deadline, 6 * len(wanted) + 6, write_pause=WRITE_PAUSE) as github:
        for repo in wanted.values():
            try:
                name = parse_name(repo)
                if ended:
                    raise ended
                _put_star(github, name, remove=remove)
                done = Star(str(name), "unstarred" if remove else "starred")
            except ScaffoldError as error:
                done = Star(repo, "failed", errors.without_offline(error))
                ended = error if ends_all(error) else ended
            yield done


def ends_all(error: ScaffoldError | None) -> bool:
    """Whether whatever else is asked would fail in the same way."""
    return isinstance(error, RateLimitError | errors.TokenError)


def _put_star(github: GitHub, name: RepositoryName, *, remove: bool) -> None:
    verb = "DELETE" if remove else "PUT"
    try:
        github.send(verb, f"/user/starred/{name}")
    except errors.NetworkError as error:
        if not error.passing or github.deadline.expired:
            raise
        # Starring twice is starring once: this may be said again.
        github.send(verb, f"/user/starred/{name}")
