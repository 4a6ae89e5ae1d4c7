"""The `scaffold` command: imports a command when it is called, and turns errors into lines and exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from scaffold import __version__
from scaffold.cli.interrupts import terminable
from scaffold.cli.output import Output
from scaffold.errors import ScaffoldError, UsageError

# Each command's line in `scaffold --help`, so that no command's module is imported for it.
COMMANDS = {
    "search": "Find awesome lists and projects for a topic.",
    "show": "Show what the index knows of a list or project.",
    "sync": "Look inside awesome lists: bring their entries into the index.",
    "clone": "Bring repositories onto the disk as references.",
    "references": "List what was cloned and how it stands, or remove it.",
    "fork": "Fork a repository on GitHub, and clone the fork.",
    "star": "Star repositories on GitHub, or take the stars away.",
    "hardware": "Show what this machine has, and what follows from it.",
    "templates": "List the starters.",
    "plan": "Show the settings that fit a machine, and why.",
    "new": "Generate a starter project that fits this machine.",
    "start": "The whole way for a topic: search, clone, generate.",
}
_INTERRUPTED = 130
_DISK_ERRORS = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "read-only"}


class LazyGroup(click.Group):
    """A group whose commands live in `scaffold.cli.<name>` and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"scaffold.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As Click does, with the nearest name for a misspelt command."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"Did you mean `scaffold {near[0]}`?" if near else f"The commands are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"there is no command “{args[0]}”. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their one line."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with:  scaffold search nlp   ·   scaffold start nlp",
)
@click.version_option(__version__, message="scaffold %(version)s")
def group() -> None:
    """From a topic to a running AI project on this computer: find lists, bring references, make a starter."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns the exit code; no exception leaves it. `--debug` shows where one came from."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # whoever started this closed it
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without Hangul shows `?` instead of failing
    output = Output()
    try:
        with terminable():
            return _invoke(arguments, output)
    except Exception as error:
        if output.debug:
            import traceback

            traceback.print_exc()
        explained = error if isinstance(error, ScaffoldError) else _unexpected(error)
        output.error(explained)
        return explained.exit_code


def _invoke(arguments: Sequence[str], output: Output) -> int:
    try:
        code = group.main(list(arguments), prog_name="scaffold", standalone_mode=False, obj=output)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        help_command = f"{context.command_path} --help" if context else "scaffold --help"
        output.error(UsageError(error.format_message(), hint=f"Try: {help_command}"))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        output.note("Interrupted.")
        return _INTERRUPTED
    except (BrokenPipeError, SystemExit, OSError) as error:
        if not _is_reader_gone(error):
            raise
        # The reader has gone (`scaffold search nlp | head`), which Click tells by an exit of its own. Nothing more can
        # be written, also not at exit.
        sys.stdout = None
        return 0
    return code if isinstance(code, int) else 0


def _is_reader_gone(error: BaseException) -> bool:
    """Windows calls a pipe that nobody reads an invalid argument, and names no file."""
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return os.name == "nt" and error.errno == errno.EINVAL and error.filename is None
    return True


def _unexpected(error: Exception) -> ScaffoldError:
    """What to say of an error that no command explained."""
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return ScaffoldError("the folder that you are in is not there any more", hint="Change to another one: cd")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        reason = _DISK_ERRORS.get(error.errno or 0) or (error.strerror or str(error)).lower()
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "Free some space, then run it again." if full else "Choose another file or folder, then run it again."
        return ScaffoldError(f"{where}{reason}", hint=hint)
    if isinstance(error, UnicodeEncodeError):
        return UsageError("the command line holds bytes that are not text (UTF-8)", hint="Write that word differently.")
    return ScaffoldError(
        f"unexpected {type(error).__name__}: {error}",
        hint="This is a fault in scaffold. Run it again with --debug and report what it prints.",
    )
