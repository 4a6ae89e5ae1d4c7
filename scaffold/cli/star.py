"""`scaffold star`: stars of the user's own, given and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from scaffold.cli.output import Output, output_options
from scaffold.errors import PartialError, ScaffoldError, UsageError

if TYPE_CHECKING:
    from scaffold.github.stars import Star


@click.command(epilog="Example:  scaffold star karpathy/nanoGPT   ·   scaffold star --remove karpathy/nanoGPT")
@click.argument("repositories", metavar="OWNER/NAME…", nargs=-1)
@click.option("--remove", is_flag=True, help="Take the stars away.")
@output_options
@click.pass_obj
def command(output: Output, repositories: tuple[str, ...], remove: bool) -> int:
    """Star repositories on GitHub, as the user whose token GITHUB_TOKEN holds.

    A classic token needs the scope public_repo, a fine-grained one the account permission Starring (read and write).
    """
    stars: list[Star] = []
    try:
        _put(repositories, output, stars, remove=remove)
    except (ScaffoldError, KeyboardInterrupt) as error:
        # Also then the document says what has been done, and what has not.
        _fail_rest(repositories, stars, error)
        output.emit({"stars": [star.to_json() for star in stars]}, lambda: None)
        raise
    output.emit({"stars": [star.to_json() for star in stars]}, lambda: _show(output, stars))
    _explain(output, stars)
    return _exit_code(stars)


def _put(repositories: Sequence[str], output: Output, stars: list[Star], *, remove: bool) -> None:
    if not repositories:
        raise UsageError("no repository was named", hint="for example: scaffold star karpathy/nanoGPT")
    from scaffold.github.stars import star
    from scaffold.settings import load_settings, with_gh_token

    for done in star(repositories, with_gh_token(load_settings()), remove=remove):
        stars.append(done)
        if len(repositories) > 1 and output.as_json:
            output.note(f"{done.repo}: {done.status}")


def _fail_rest(repositories: Sequence[str], stars: list[Star], error: BaseException) -> None:
    from scaffold.github.stars import Star

    failure = error if isinstance(error, ScaffoldError) else ScaffoldError("interrupted")
    reached = {star.repo.casefold() for star in stars}
    stars.extend(Star(repo, "failed", failure) for repo in repositories if repo.casefold() not in reached)


def _show(output: Output, stars: Sequence[Star]) -> None:
    for star in stars:
        if star.status != "failed":
            output.line(f"{star.repo}: {star.status}")


def _explain(output: Output, stars: Sequence[Star]) -> None:
    """Why stars failed, on stderr; the same reason for several is told once."""
    told: set[int] = set()
    for star in stars:
        if star.failure is None or id(star.failure) in told:
            continue
        told.add(id(star.failure))
        others = sum(other.failure is star.failure for other in stars) - 1
        text = star.failure.message if star.repo in star.failure.message else f"{star.repo}: {star.failure.message}"
        output.error(ScaffoldError(text + (f" (and so for {others} more)" if others else ""), hint=star.failure.hint))


def _exit_code(stars: Sequence[Star]) -> int:
    """0 where all went well, 7 where some failed; the reason's own code where there is one reason, else 1."""
    failures = [star.failure for star in stars if star.failure]
    if not failures:
        return 0
    if len(failures) < len(stars):
        return PartialError.exit_code
    alone = all(failure is failures[0] for failure in failures)
    return failures[0].exit_code if alone else ScaffoldError.exit_code
