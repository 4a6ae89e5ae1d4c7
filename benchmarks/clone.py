"""How long `scaffold clone` takes from far away, beside git alone: ten repositories at 50 ms and 50 Mbit/s.

The host is `git http-backend` on this machine behind a link that is slow by its own doing. Whole processes, one after
the other, each into a new folder on a disk with nothing left to write.

Run: python benchmarks/clone.py [--rounds N] [--host FOLDER]     (FOLDER keeps the repositories for the next time)
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY))

from far_link import FarLink, far_link  # noqa: E402
from made_repositories import REPOSITORIES, make_host  # noqa: E402

from tests.git_server import GitServer, serve  # noqa: E402

ROUND_TRIP = 0.050
BYTES_PER_SECOND = 50e6 / 8
NAMES = [name for name, _, _ in REPOSITORIES]
SCAFFOLD = (sys.executable, "-m", "scaffold", "clone", "--dir", "references")
PARALLEL = "xargs -P 4 git clone --depth 1"
IN_TURN = "ten git clone in turn"
CLONE = "scaffold clone"
AGAIN = "scaffold clone, unchanged"
HISTORY = "scaffold clone --history"
FULL = "scaffold clone --full"
LISTINGS = "xargs -P 4 git ls-remote"
Check = Callable[[Path], int]  # how many repositories are in a folder


@dataclass
class Run:
    """What one way of cloning took, each time it ran."""

    seconds: list[float] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Wall time in seconds."""
        return statistics.median(self.seconds)


@dataclass
class Bench:
    """The link, the host behind it, and what was measured so far."""

    link: FarLink
    host: GitServer
    folder: Path
    runs: dict[str, Run] = field(default_factory=dict)

    def measure(
        self, what: str, command: Sequence[str], check: Callable[[Path], int], into: Path | None = None
    ) -> Path:
        """Run a command in a new folder, or in one from before. Returns the folder.

        Args:
            what: its line in the table.
            command: what to run.
            check: counts the repositories that are there afterwards.
            into: the folder of an earlier run.

        Raises:
            subprocess.CalledProcessError: the command failed.
            RuntimeError: not all repositories are there.
        """
        place = into or Path(tempfile.mkdtemp(dir=self.folder))
        os.sync()  # what was written before must not be paid for in this run
        moved, requests = self.link.moved, len(self.host.requests)
        start = time.perf_counter()
        done = subprocess.run(list(command), cwd=place, env=self._environment(), capture_output=True, text=True)
        run = self.runs.setdefault(what, Run())
        run.seconds.append(time.perf_counter() - start)
        run.moved.append(self.link.moved - moved)
        run.requests.append(len(self.host.requests) - requests)
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
            raise subprocess.CalledProcessError(done.returncode, command)
        if (there := check(place)) != len(NAMES):
            raise RuntimeError(f"{what}: {there} repositories are there")
        print(f"  {what}: {run.seconds[-1]:.2f} s", flush=True)
        return place

    def _environment(self) -> dict[str, str]:
        # Without compiled files every start is several times slower, and nobody's installation is like that.
        dropped = {"PYTHONDONTWRITEBYTECODE", "GITHUB_TOKEN", "GH_TOKEN"}
        return {
            **{name: value for name, value in os.environ.items() if name not in dropped and name[:4] != "GIT_"},
            "GITHUB_SERVER_URL": self.link.url,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.folder),
            "PYTHONPATH": str(REPOSITORY),
            "SCAFFOLD_HOME": str(self.folder / "home"),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="scaffold clone beside git alone, from far away")
    parser.add_argument("--rounds", type=int, default=3, help="how often the short ones run (3)")
    parser.add_argument("--host", type=Path, help="where the repositories are made, and found the next time")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        nullcontext(options.host) if options.host else tempfile.TemporaryDirectory() as root,
        serve(Path(root)) as host,
    ):
        if not (made := Path(root) / "made").exists():
            make_host(Path(root))
            made.touch()
        # The first start compiles what is imported.
        subprocess.run([*SCAFFOLD, "--help"], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True)
        with far_link(_port(host), round_trip=ROUND_TRIP, bytes_per_second=BYTES_PER_SECOND) as link:
            bench = Bench(link, host, Path(scratch))
            _run_all(bench, options.rounds)
        _print(bench)


def _port(host: GitServer) -> int:
    return int(host.url.rpartition(":")[2])


def _run_all(bench: Bench, rounds: int) -> None:
    urls = [f"{bench.link.url}/{name}.git" for name in NAMES]
    listed = f"printf '%s\\n' {shlex.join(urls)} | xargs -n 1 -P 4"
    shallow = ("sh", "-c", f"{listed} git clone --quiet --depth 1")
    listings = ("sh", "-c", f"{listed} git ls-remote --quiet --symref")
    in_turn = ("sh", "-ec", "".join(f"git clone --quiet {shlex.quote(url)}\n" for url in urls))
    for number in range(rounds + 1):
        if number == 1:
            bench.runs.clear()  # the first round warmed the caches of the disk
        plain = bench.measure(PARALLEL, shallow, _plain)
        ours = bench.measure(CLONE, [*SCAFFOLD, *NAMES], _references)
        bench.measure(LISTINGS, listings, lambda place: len(NAMES))
        bench.measure(AGAIN, [*SCAFFOLD, *NAMES], _references, into=ours)
        for place in (plain, ours):
            shutil.rmtree(place)
    for what, command, check in (
        (IN_TURN, in_turn, _plain),
        (HISTORY, [*SCAFFOLD, "--history", *NAMES], _references),
        (FULL, [*SCAFFOLD, "--full", *NAMES], _references),
    ):
        shutil.rmtree(bench.measure(what, command, check))


def _plain(place: Path) -> int:
    return sum((place / name.partition("/")[2] / "README.md").is_file() for name in NAMES)


def _references(place: Path) -> int:
    return sum((place / "references" / name / "README.md").is_file() for name in NAMES)


def _print(bench: Bench) -> None:
    runs = bench.runs
    floor = runs[PARALLEL]
    width = max(map(len, runs))
    print(f"\n{'':{width}}  {'seconds':>8}  {'× xargs':>8}  {'MB':>7}  {'link s':>7}  {'requests':>8}")
    for what in (PARALLEL, CLONE, LISTINGS, AGAIN, HISTORY, FULL, IN_TURN):
        run = runs[what]
        moved, requests = statistics.median(run.moved), statistics.median(run.requests)
        print(
            f"{what:{width}}  {run.median:8.2f}  {run.median / floor.median:8.2f}  {moved / 1e6:7.2f}"
            f"  {moved / BYTES_PER_SECOND:7.2f}  {requests:8.0f}"
        )
    print(f"\nlink s: what so many bytes take on {BYTES_PER_SECOND * 8 / 1e6:.0f} Mbit/s, whoever moves them")
    _goal(f"{CLONE}, time against {PARALLEL}", runs[CLONE].median / floor.median, 1.25)
    _goal(f"{CLONE}, time against {IN_TURN}", runs[CLONE].median / runs[IN_TURN].median, 0.2)
    _goal("bytes against --depth 1", statistics.median(runs[CLONE].moved) / statistics.median(floor.moved), 1.05)
    listing = statistics.median(runs[LISTINGS].requests)
    _goal("an unchanged one, requests against a listing", statistics.median(runs[AGAIN].requests) / listing, 1.0)


def _goal(what: str, ratio: float, goal: float) -> None:
    print(f"{what}: {ratio:.2f} (goal ≤ {goal:g}: {'ok' if ratio <= goal else 'MISSED'})")


if __name__ == "__main__":
    main()
