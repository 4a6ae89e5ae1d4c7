"""Takes out of a recording what names a person, a host or one single device.

What could hold such a thing line by line (``sysctl``, mounts, process status) is cut down to the lines that the probes
need; in the rest serial numbers, UUIDs and names are replaced, the same one always by the same replacement.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from scaffold.hardware.cgroup import ROOTS

_UUID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
_MAC = re.compile(r"(?<![\w:])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![\w:])")
# Names of which a word in a file says nothing about anybody.
_COMMON = {
    "root", "user", "users", "host", "localhost", "localdomain", "linux", "ubuntu", "debian", "fedora", "arch", "admin",
    "nvidia", "amd", "intel", "apple", "cpu", "gpu", "system", "docker", "home", "nobody", "jetson", "runner", "python",
}  # fmt: skip
_SECRET = r"serial|uuid|guid|unique.?id|\bpdi|gpu_pdi|board.?id|part.?number|host.?id|tray|slot|chassis|timestamp|vbios"
_XML_SECRET = re.compile(rf"<(\w*?(?:{_SECRET})\w*)>[^<]*</\1>", re.IGNORECASE)
_JSON_SECRET = re.compile(rf'("[^"\n]*(?:{_SECRET})[^"\n]*"\s*:\s*)"[^"\n]*"', re.IGNORECASE)
_CSV_SECRET = re.compile(_SECRET, re.IGNORECASE)
_DEVICE_NUMBER = re.compile(r"^(unique_id|hive_id) (\d+)", re.MULTILINE)
_XML_PROCESSES = re.compile(r"<((?:accounted_)?process(?:es|_info))>.*?(?:</\1>|\Z)", re.DOTALL)
_LINE_SECRET = re.compile(rf"^([^:\n]*(?:{_SECRET})[^:\n]*:[ \t]*).*$", re.IGNORECASE | re.MULTILINE)
_TABLE_PROCESSES = re.compile(r"^\| Processes:.*", re.DOTALL | re.MULTILINE)
_QUERY_PROCESSES = re.compile(r"^(\s+Processes\s*)$(?:\n\s{8,}.*)*", re.MULTILINE)
_SYSCTL_LINE = re.compile(
    r"(?:hw\.(?!.*(?:serial|uuid))|machdep\.cpu\.|kern\.(?:osproductversion|osversion|osrelease|ostype)\b|sysctl\.proc_tr)"
)
# What a group's path may go on telling: who started it is none of it.
_GROUP_WORDS = re.compile(
    r"system\.slice|user\.slice|machine\.slice|init\.scope|docker|kubepods|besteffort|burstable|guaranteed|containerd"
    r"|libpod|podman|lxc|ecs|garden"
)


class Mask:
    """Replaces names and numbers.

    Args:
        names: words that must not show, such as the host's and the user's name, and what stands for each.
    """

    def __init__(self, names: dict[str, str]) -> None:
        wanted = sorted((name for name in names if _is_telling(name)), key=len, reverse=True)
        self._names = {name.lower(): names[name] for name in wanted}
        pattern = "|".join(map(re.escape, wanted))
        self._pattern = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) if wanted else None
        self._numbers: dict[str, int] = {}

    @classmethod
    def of_this_computer(cls) -> Mask:
        """A mask for this computer's host and user names."""
        import platform

        host = platform.node()
        names = dict.fromkeys((host, host.partition(".")[0]), "host")
        names |= {os.environ[key]: "user" for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER") if key in os.environ}
        home = os.path.expanduser("~")  # noqa: PTH111 - only its last part is wanted, and there may be no home
        return cls(names | {os.path.basename(home): "user"})  # noqa: PTH119

    def path(self, path: str) -> str:
        """Where a file lies in the recording: control groups are named after people and containers."""
        root = max((root for root in ROOTS if path.startswith(f"{root}/")), key=len, default=None)
        group, _, name = path[len(root or "") :].rpartition("/")
        return path if root is None else f"{root}{self._group(group)}/{name}"

    def file(self, path: str, text: str) -> str:
        """The text of a file under ``/``."""
        kept = _LINES.get(path)
        if kept is not None:
            text = "".join(line for line in text.splitlines(keepends=True) if kept(line))
        if path.endswith("/cgroup"):
            text = re.sub(r"^(\d+:[^:\n]*:)(.*)$", lambda m: m[1] + self._group(m[2]), text, flags=re.MULTILINE)
        if path.endswith("/properties"):
            return _DEVICE_NUMBER.sub(lambda match: f"{match[1]} {self._number(match[2])}", text)
        return self._plain(_LINE_SECRET.sub(r"\1N/A", text))

    def output(self, name: str, text: str) -> str:
        """What a command printed."""
        if name.endswith(".xml"):
            text = _XML_SECRET.sub(r"<\1>N/A</\1>", _XML_PROCESSES.sub(r"<\1></\1>", text))
        elif name == "sysctl.txt":
            text = "".join(line for line in text.splitlines(keepends=True) if _SYSCTL_LINE.match(line))
        elif name.endswith(".csv"):
            text = _without_columns(text)
        elif name.endswith(".json"):
            text = _JSON_SECRET.sub(r'\1"N/A"', text)
        else:
            text = _QUERY_PROCESSES.sub(r"\1", _TABLE_PROCESSES.sub("", text))
            text = _LINE_SECRET.sub(r"\1N/A", text)
        return self._plain(text)

    def variable(self, name: str, value: str) -> str:
        """The value of an environment variable."""
        return "set" if name == "KUBERNETES_SERVICE_HOST" and value else self._plain(value)

    def _plain(self, text: str) -> str:
        text = _UUID.sub(lambda match: f"00000000-0000-0000-0000-{self._number(match[0].lower()):012}", text)
        text = _MAC.sub("00:00:00:00:00:00", _ADDRESS.sub("user@host", text))
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._names[match[0].lower()], text)

    def _group(self, path: str) -> str:
        return "/".join(self._group_part(part) for part in path.split("/"))

    def _group_part(self, part: str) -> str:
        words = _GROUP_WORDS.findall(part)
        if not part or part == ".." or (len(words) == 1 and part == words[0]):
            return part
        return "-".join([*words, f"group{self._number(part)}"])

    def _number(self, secret: str) -> int:
        """The same small number for the same secret; nought stays nought."""
        return 0 if not secret.strip("0-") else self._numbers.setdefault(secret, len(self._numbers) + 1)


def _is_telling(name: str) -> bool:
    return len(name) > 2 and name.lower() not in _COMMON and not name.isdecimal()


def _without_columns(text: str) -> str:
    """A table with a header, without what its telling columns hold."""
    lines = [line.split(",") for line in text.splitlines()]
    telling = {i for i, title in enumerate(lines[0] if lines else ()) if _CSV_SECRET.search(title)}
    if not telling or _UUID.search(",".join(lines[0])):
        return text  # the first line is a row already: what has a shape is replaced by its shape
    rows = [[" [N/A]" if i in telling else value for i, value in enumerate(row)] for row in lines[1:]]
    return "\n".join(",".join(row) for row in [lines[0], *rows]) + "\n" * text.endswith("\n")


def _starts(*beginnings: str) -> Callable[[str], bool]:
    return lambda line: line.startswith(beginnings)


_LINES: dict[str, Callable[[str], bool]] = {
    "proc/self/status": _starts("Cpus_allowed", "Mems_allowed"),
    "proc/self/mounts": lambda line: line.split()[1:2] == ["/dev/shm"],
    "proc/mounts": lambda line: line.split()[1:2] == ["/dev/shm"],
    "etc/os-release": _starts("NAME=", "ID=", "ID_LIKE=", "VERSION=", "VERSION_ID=", "PRETTY_NAME="),
}
