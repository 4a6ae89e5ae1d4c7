"""The entry point. `--version` is answered here, before Click is imported."""

import sys

from scaffold import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        print(f"scaffold {__version__}")
        return
    from scaffold.cli.main import run

    code = run(sys.argv[1:])
    # Under `python -m`, an interrupt that passed through code from a text (a dataclass that was just being made) makes
    # Python end itself by the signal, whatever the exit code, unless code from a text ends well after it.
    exec("")
    sys.exit(code)


if __name__ == "__main__":
    main()
