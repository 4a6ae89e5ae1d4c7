"""The entry point. `--version` is answered here, before Click is imported."""

import sys

from scaffold import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        print(f"scaffold {__version__}")
        return
    from scaffold.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
