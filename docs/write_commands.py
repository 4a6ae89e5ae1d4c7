"""Writes docs/commands.md from the commands' own help, so that the two can't differ. `--check` only compares.

Run: make docs
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scaffold.cli.main import COMMANDS, group

PAGE = Path(__file__).parent / "commands.md"
_HEAD = """# Commands

Written from the commands' own help by `make docs`.

Results go to stdout, messages to stderr. With `--json` stdout holds one JSON document and nothing else. Without a
terminal there are no colours, no progress bars and no questions.

| exit code | means |
|---|---|
| 0 | done (a search with no hits is done too) |
| 1 | failed, explained |
| 2 | wrong usage: an unknown template, task or option value; the nearest names are given |
| 3 | not found: a repository, project or file |
| 4 | refused: an untrusted template or unsafe input |
| 5 | not signed in, or a permission is missing |
| 6 | rate limited |
| 7 | partial: some of several failed, each with its reason |
| 130 | interrupted |

## Environment

| variable | means |
|---|---|
| `GITHUB_TOKEN`, `GH_TOKEN` | your token: private repositories, more requests, forks, stars; else that of `gh` |
| `GITHUB_API_URL` | GitHub's API, for `search`, `show`, `fork` and `star`; default `https://api.github.com` |
| `SCAFFOLD_RAW_URL` | where lists' files come from; default `https://raw.githubusercontent.com` |
| `GITHUB_SERVER_URL` | where `owner/name` is cloned from; default `https://github.com` |
| `SCAFFOLD_ALLOWED_HOSTS` | further hosts you trust to clone from, separated by commas |
| `SCAFFOLD_TARGET` | the machine to generate for, as `--target` names it |
| `SCAFFOLD_HARDWARE` | what to take as given of the machine, as `--with`, with commas between |
| `SCAFFOLD_HOME` | the folder for scaffold's own files; default is the platform's cache folder |
| `SCAFFOLD_CATALOG` | another catalog than the one that ships with scaffold |
| `NO_COLOR` | any value: no colours |
"""


def page() -> str:
    """The whole page."""
    context = click.Context(group, info_name="scaffold", max_content_width=100, terminal_width=100)
    parts = [_HEAD, _section("scaffold", group, None)]
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        parts.append(_section(name, command, context))
        inner = getattr(command, "commands", {})
        parts.extend(_section(f"{name} {part}", inner[part], context) for part in inner)
    return "\n".join(parts)


def _section(name: str, command: click.Command, parent: click.Context | None) -> str:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    title = f"scaffold {name}" if parent else name
    return f"## {title}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


def main() -> None:
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != page():
            sys.exit("docs/commands.md is not what the commands say; run: make docs")
        return
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
