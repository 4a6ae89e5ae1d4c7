"""Ten repositories of real size, the same ones every time: source that compresses as source does, images and history.

Together they have about 57 MB of files, of which one commit travels as 16 MB and all of them as 80 MB. Their commits
rewrite lines in some files, add a few, and replace images.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from tests.git_server import git

# Name, files and commits. Neither the largest nor the smallest comes first, as nobody sorts what they name.
REPOSITORIES = (
    ("far/trainer", 300, 220),
    ("far/notes", 50, 40),
    ("far/framework", 1000, 480),
    ("far/paper", 80, 60),
    ("far/models", 550, 300),
    ("far/tools", 160, 120),
    ("far/course", 220, 150),
    ("far/server", 750, 400),
    ("far/examples", 120, 90),
    ("far/datasets", 400, 260),
)
_TEXT_BYTES = 14_950  # of a file, on average
_IMAGES_PER_FILE = 0.05
_IMAGE_BYTES = 15_000
_REPLACED_BYTES = 15_500  # of images for each file, over the whole history
_EDITED = 12  # files in each commit
_NAMES_PER_FILE = 140
_FILES_PER_FOLDER = 20
_START = 1_600_000_000

_SYLLABLES = [first + second for first in "bcdfghklmnprstvwxz" for second in "aeiou"]
_AFTER = (" ", "(", ")", ", ", " = ", ".", "[", "]: ", " + ")
_LAYOUT = ("\n", "\n    ", "\n        ", "    return ")
_LAYOUT_SHARES = (0.12, 0.14, 0.08, 0.02)


def make_host(root: Path) -> None:
    """Write the bare repositories below `root`, as a host keeps them: one pack each, with its bitmap."""
    for number, (name, files, commits) in enumerate(REPOSITORIES):
        bare = root / f"{name}.git"
        bare.mkdir(parents=True)
        git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
        command = ["git", "-C", str(bare), "-c", "core.compression=1", "fast-import", "--quiet", "--depth=0"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.writelines(_stream(random.Random(number), files, commits))
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command)
        git(bare, "repack", "-a", "-d", "-F", "-q", "--window=5", "--write-bitmap-index")
        git(bare, "pack-refs", "--all")
        git(bare, "config", "uploadpack.allowFilter", "true")


class _Texts:
    """Text like source: few names in each file, used unequally often, most of them in other files too."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        words = ["_".join(self._word() for _ in range(rng.randint(1, 2))) for _ in range(4000)]
        self._names = [word + rng.choice(_AFTER) for word in words]
        self._fame = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
        shares = [1 / (rank + 3) for rank in range(_NAMES_PER_FILE)]
        self._shares = list(accumulate([*shares, *(share * sum(shares) for share in _LAYOUT_SHARES)]))

    def _word(self) -> str:
        return "".join(self._rng.choices(_SYLLABLES, k=self._rng.randint(1, 4)))

    def write(self, size: int) -> bytes:
        """A new text of `size` bytes."""
        names = [*self._rng.choices(self._names, cum_weights=self._fame, k=_NAMES_PER_FILE), *_LAYOUT]
        text = ""
        while len(text) < size:
            text += "".join(self._rng.choices(names, cum_weights=self._shares, k=size // 8 + 10))
        return text[:size].encode()

    def edit(self, text: bytes) -> bytes:
        """The text with some lines in its middle written anew."""
        size = min(len(text), self._rng.randint(40, 600))
        start = self._rng.randint(0, len(text) - size)
        return text[:start] + self.write(size) + text[start + size :]


def _stream(rng: random.Random, files: int, commits: int) -> Iterator[bytes]:
    """What `git fast-import` reads: a first half of the files, then commits that add the others and change some."""
    texts = _Texts(rng)
    sizes = [rng.lognormvariate(0, 1) for _ in range(files)]
    scale = _TEXT_BYTES * files / sum(sizes)
    images = max(2, round(files * _IMAGES_PER_FILE))
    replaced = round(_REPLACED_BYTES * files / commits / _IMAGE_BYTES * 1000)  # in thousandths of an image
    tree: dict[str, bytes] = {}
    for number in range(commits):
        until = max(files // 2, files * (number + 1) // commits)
        changes: dict[str, bytes] = {}
        for new in range(len(tree), until):
            path = f"src/part{new // _FILES_PER_FOLDER}/module{new}.py" if new else "README.md"
            changes[path] = texts.write(max(60, int(sizes[new] * scale)))
        for path in rng.sample(sorted(tree), min(_EDITED, len(tree))):
            changes[path] = texts.edit(tree[path])
        tree |= changes
        before, now = number * replaced // 1000, (number + 1) * replaced // 1000
        for image in range(images) if not number else (count % images for count in range(before, now)):
            changes[f"assets/figure{image}.png"] = b"\x89PNG\r\n" + rng.randbytes(_IMAGE_BYTES)
        yield _commit(number, changes)


def _commit(number: int, changes: dict[str, bytes]) -> bytes:
    message = f"Change {number}\n".encode()
    head = f"commit refs/heads/main\ncommitter Made <made@example.invalid> {_START + number * 3600} +0000\n"
    parts = [head.encode(), b"data %d\n%s" % (len(message), message)]
    parts += [b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(body), body) for path, body in changes.items()]
    return b"".join(parts)
