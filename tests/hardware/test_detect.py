"""Detection as a whole: this computer, recordings that must not leak it, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.errors import NotFoundError
from scaffold.hardware.detect import detect
from scaffold.hardware.machine import Machine
from scaffold.hardware.recording import RecordedSource
from scaffold.hardware.source import LiveSource

Write = Callable[[Path, dict[str, str]], Path]

NEVER_IMPORTED = (
    "torch",
    "psutil",
    "pynvml",
    "rich",
    "jinja2",
    "yaml",
    "platform",
    "subprocess",
    "xml.etree.ElementTree",
)


def test_this_computer(tmp_path: Path) -> None:
    machine = detect(disk_path=tmp_path / "not" / "there" / "yet")
    assert machine.os in ("linux", "darwin", "windows")
    assert machine.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert machine.cpu.logical_cores is not None
    assert 1 <= (machine.cpu.usable_cores or 1) <= machine.cpu.logical_cores
    assert machine.memory.total_bytes is not None
    assert 0 < (machine.memory.available_bytes or 1) <= machine.memory.total_bytes
    assert machine.disk_free_bytes is not None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_usable_cores_follow_the_affinity() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from scaffold.hardware.detect import detect; print(detect().cpu.usable_cores)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1"


def test_nothing_slow_is_imported(tmp_path: Path) -> None:
    code = "import sys; from scaffold.hardware.detect import detect; from scaffold.hardware.torch_build import choose\n"
    code += f"choose(detect()); print([name for name in {NEVER_IMPORTED!r} if name in sys.modules])"
    # An empty PATH: no GPU tool is called, whatever this computer has.
    answer = subprocess.check_output([sys.executable, "-c", code], text=True, env={**os.environ, "PATH": str(tmp_path)})
    if Path("/proc/driver/nvidia").exists() or sys.platform != "linux":
        pytest.skip("this computer has an NVIDIA driver, or no files to read")
    assert answer.strip() == "[]"


def test_the_json_document_has_the_keys_of_the_contract(tmp_path: Path, write: Write) -> None:
    csv = "0, NVIDIA L4, 23034 MiB, 22000 MiB, 550.54.15, 8.9"
    document = detect(RecordedSource(write(tmp_path, {"q.csv": csv}))).to_json()
    assert json.loads(json.dumps(document)) == document
    assert {"os", "arch", "cpu", "memory", "disk_free_bytes", "accelerators", "notes"} <= document.keys()
    assert {"name", "physical_cores", "logical_cores", "usable_cores", "features"} <= document["cpu"].keys()
    assert {"total_bytes", "available_bytes", "limit_bytes"} <= document["memory"].keys()
    keys = {
        "vendor",
        "name",
        "memory_bytes",
        "memory_free_bytes",
        "compute_capability",
        "arch",
        "driver",
        "count",
        "mig",
    }
    assert keys <= document["accelerators"][0].keys()


def test_nothing_of_this_computer_leaks_into_a_recording(tmp_path: Path, write: Write) -> None:
    machine = detect(RecordedSource(write(tmp_path, {"platform.json": '{"os": "linux"}'})))
    assert machine == Machine(os="linux")


def test_a_link_in_a_recording_does_not_lead_out_of_it(tmp_path: Path, write: Write) -> None:
    outside = write(tmp_path / "outside", {"meminfo": "MemTotal: 1024 kB\n"})
    folder = write(tmp_path / "recording", {"platform.json": '{"os": "linux", "arch": "x86_64"}'})
    (folder / "proc").symlink_to(outside)
    (folder / "meminfo").symlink_to(outside / "meminfo")
    assert detect(RecordedSource(folder)).memory.total_bytes is None


def test_files_are_recognised_by_what_they_hold(tmp_path: Path, write: Write) -> None:
    files = {
        "a.txt": "processor\t: 0\nsiblings\t: 1\nphysical id\t: 0\ncore id\t: 0\nflags\t: lm avx2\n",
        "b.txt": "MemTotal:       1024 kB\nMemAvailable:    512 kB\n",
        "c.txt": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n",
        "d.txt": '{"os": "linux", "arch": "x86_64", "python": "3.12", "libc": "musl 1.2.5", "os_version": "3.20"}',
        "e.txt": "0, NVIDIA L4, 23034 MiB, 22000 MiB, 8.9\r\n",
    }
    machine = detect(RecordedSource(write(tmp_path, files)))
    assert (machine.cpu.physical_cores, machine.cpu.logical_cores, machine.cpu.features) == (1, 1, ("avx2",))
    assert machine.memory.total_bytes == 1024**2
    assert (machine.python, machine.libc, machine.os_version) == ("3.12", "musl 1.2.5", "3.20")
    (card,) = machine.accelerators
    assert (card.name, card.driver) == ("NVIDIA L4", "550.54.14")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_as_windows_writes_them_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text('{"os": "windows", "arch": "AMD64"}', encoding)
    (tmp_path / "b.txt").write_text("NVIDIA GeForce RTX 4090, 24564 MiB, 551.86, 8.9\r\n", encoding)
    machine = detect(RecordedSource(tmp_path))
    assert machine.os == "windows"
    assert [card.name for card in machine.accelerators] == ["NVIDIA GeForce RTX 4090"]


def test_a_windows_recording_carries_its_figures_in_platform_json(tmp_path: Path, write: Write) -> None:
    platform = {
        "os": "windows",
        "arch": "AMD64",
        "cpu_name": "Some CPU",
        "physical_cores": 8,
        "logical_cores": 16,
        "memory_total_bytes": 32 * 1024**3,
    }
    machine = detect(RecordedSource(write(tmp_path, {"platform.json": json.dumps(platform)})))
    assert (machine.os, machine.cpu.name, machine.cpu.physical_cores, machine.cpu.usable_cores) == (
        "windows",
        "Some CPU",
        8,
        16,
    )
    assert machine.summary() == "16 cores, 32 GB of memory, no GPU"
    assert "On Windows only NVIDIA's GPUs are found; AMD's and Intel's stay unused." in machine.notes


def test_a_folder_without_a_machine_in_it_is_refused(tmp_path: Path, write: Write) -> None:
    for folder in (tmp_path / "missing", write(tmp_path / "other", {"notes.txt": "hello\n"})):
        with pytest.raises(NotFoundError) as error:
            RecordedSource(folder)
        assert str(folder) in error.value.message
        assert error.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "slow-tool"
    script.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/child\nwait\n", "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    source = LiveSource()
    assert source.run(("slow-tool",), timeout=0.5) is None
    child = int((tmp_path / "child").read_text("utf-8"))
    for _ in range(100):
        if not _runs(child):
            break
        time.sleep(0.05)
    assert not _runs(child)
    # It is not asked a second time.
    (tmp_path / "child").unlink()
    assert source.run(("slow-tool",), timeout=0.5) is None
    assert not (tmp_path / "child").exists()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not (state.exists() and state.read_text("utf-8").split(")")[-1].split()[0] == "Z")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_an_old_driver_that_refuses_a_field_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\n"
        'case "$*" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'; exit 2;; esac\n'
        "echo 'index, uuid, name, memory.total [MiB], memory.free [MiB], driver_version'\n"
        "echo '0, GPU-00000000-0000-0000-0000-000000000000, Tesla V100-SXM2-16GB, 16160 MiB, 16000 MiB, 450.80.02'\n",
        "utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    cards = [card for card in detect().accelerators if card.vendor == "nvidia"]
    assert [(card.name, card.driver, card.compute_capability) for card in cards] == [
        ("Tesla V100-SXM2-16GB", "450.80.02", "7.0")
    ]
