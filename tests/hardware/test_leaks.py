"""A recording is read without a look at the computer that reads it, watched by a probe that would notice one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

Write = Callable[[Path, dict[str, str]], Path]

# Runs in a process of its own: an audit hook cannot be taken off again.
PROBE = """
import json, os, sys
from pathlib import Path

folder, live = sys.argv[1], sys.argv[2] == "live"
from scaffold.hardware import amd, apple, intel, notes, nvidia_smi, nvidia_text, overrides, targets, torch_build, uses
from scaffold.hardware.detect import detect
from scaffold.hardware.recording import RecordedSource
import xml.etree.ElementTree, xml.parsers.expat, tomllib

code = (folder, str(Path(torch_build.__file__).parent), sys.prefix, sys.base_prefix)
seen = []

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        path = os.fsdecode(arguments[0])
        if not path.startswith(code):
            seen.append(f"{event} {path}")
    elif event.startswith(("subprocess", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "socket", "ctypes")):
        seen.append(event)

def watch(holder, name):
    if hasattr(holder, name):
        original = getattr(holder, name)
        def spy(*arguments, **more):
            seen.append(name)
            return original(*arguments, **more)
        setattr(holder, name, spy)

sys.addaudithook(hook)
for name in ("cpu_count", "sched_getaffinity", "process_cpu_count", "sysconf", "confstr", "uname", "statvfs"):
    watch(os, name)
lexists = os.path.lexists
os.path.lexists = lambda path: (str(path).startswith(code) or seen.append(f"lexists {path}"), lexists(path))[1]
class Environ(dict):
    def __getitem__(self, key):
        seen.append(f"environ {key}")
        return dict.__getitem__(self, key)
    def get(self, key, default=None):
        seen.append(f"environ {key}")
        return dict.get(self, key, default)
os.environ = Environ(os.environ)

machine = detect() if live else detect(RecordedSource(Path(folder)))
torch = torch_build.choose(machine)
uses.good_for(machine, torch)
print(json.dumps({"seen": seen, "machine": machine.to_json()}))
"""


def look(folder: Path, kind: str) -> dict[str, object]:
    command = [sys.executable, "-c", PROBE, str(folder), kind]
    answer: dict[str, object] = json.loads(subprocess.check_output(command, text=True, cwd=REPOSITORY))
    return answer


RECORDINGS = {
    "nothing": {"platform.json": '{"os": "linux"}'},
    "an unknown system": {"platform.json": '{"python": "3.12"}'},
    "windows": {"platform.json": '{"os": "windows", "arch": "AMD64"}'},
    "a mac": {"sysctl.txt": "hw.memsize: 17179869184\nhw.optional.arm64: 1\nmachdep.cpu.brand_string: Apple M2\n"},
    "a processor": {"cpuinfo": "processor\t: 0\nmodel name\t: CPU\nflags\t\t: lm avx2\n"},
    "an NVIDIA card": {"q.csv": "0, NVIDIA L4, 23034 MiB, 22000 MiB, 550.54.15, 8.9\n"},
    "an NVIDIA driver": {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Kernel Module  550.54.14  x\n"},
    "an AMD card": {"kfd/topology/nodes/1/properties": "simd_count 416\ngfx_target_version 90402\n"},
    "an Intel card": {
        "sys/class/drm/card0/device/vendor": "0x8086\n",
        "sys/class/drm/card0/device/device": "0xe20b\n",
    },
    "control groups": {"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/cpu.max": "200000 100000\n"},
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_answered_without_a_look_at_this_computer(name: str, tmp_path: Path, write: Write) -> None:
    answer = look(write(tmp_path, RECORDINGS[name]), "recorded")
    assert answer["seen"] == []
    machine = answer["machine"]
    assert isinstance(machine, dict)
    assert machine["disk_free_bytes"] is None
    assert machine["libc"] is None
    assert machine["memory"]["available_bytes"] is None
    assert machine["cpu"]["logical_cores"] is None


def test_the_probe_notices_a_look_at_this_computer(tmp_path: Path) -> None:
    seen = look(tmp_path, "live")["seen"]
    assert isinstance(seen, list)
    assert "uname" in seen
    if sys.platform == "linux":
        assert {"open /proc/cpuinfo", "open /proc/meminfo", "confstr", "statvfs"} <= set(seen)
    assert any(entry.startswith("environ CUDA_VISIBLE_DEVICES") or entry == "environ PATH" for entry in seen)
