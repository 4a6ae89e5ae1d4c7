"""Recording a machine: the same answer from the recording, and nobody's name or number in it."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.errors import ScaffoldError
from scaffold.hardware.anonymous import Mask
from scaffold.hardware.detect import detect
from scaffold.hardware.record import record
from scaffold.hardware.recording import RecordedSource
from tests.conftest import Answer

Write = Callable[[Path, dict[str, str]], Path]

SERIAL, CARD_UUID, HEX_ID = "1320521009999", "d37e67a5-91dd-3774-a5cb-99096249601a", "79ccd55167a2124a"
CONTAINER, PERSON = "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0", "hyacinth"
SECRETS = (SERIAL, CARD_UUID, HEX_ID, CONTAINER, PERSON, "14930112233445566778", "00:1b:44:11:3a:b7")
GROUP = f"/user.slice/user-{PERSON}.slice/docker-{CONTAINER}.scope"
TELLING = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: CPU\nsiblings\t: 1\ncpu cores\t: 1\nphysical id\t: 0\ncore id\t: 0\n"
    f"flags\t\t: lm avx2\n\nSerial\t\t: {SERIAL}\n",
    "proc/meminfo": "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n",
    "proc/self/status": f"Name:\t{PERSON}\nCpus_allowed_list:\t0\n",
    "proc/self/cgroup": f"0::{GROUP}\n",
    f"sys/fs/cgroup{GROUP}/cpu.max": "100000 100000\n",
    f"sys/fs/cgroup{GROUP}/memory.max": "1073741824\n",
    "sys/fs/cgroup/user.slice/memory.max": "2147483648\n",
    "proc/self/mounts": f"{PERSON}:/export /home/{PERSON} nfs rw 0 0\nshm /dev/shm tmpfs rw,size=65536k 0 0\n",
    "sys/devices/system/cpu/online": "0\n",
    "kfd/topology/nodes/1/properties": "simd_count 416\ngfx_target_version 90402\nunique_id 14930112233445566778\n",
    "kfd/topology/nodes/2/properties": "simd_count 416\ngfx_target_version 90402\nunique_id 14930112233445566778\n",
    "etc/os-release": f'PRETTY_NAME="Debian"\nVERSION_ID="12"\nHOME_URL="https://{PERSON}.example"\n',
    "proc/version": f"Linux version 6.1 ({PERSON}@buildhost) #1\n",
    "proc/sys/kernel/osrelease": f"6.1.0-{PERSON}\n",
    "q.csv": "index, uuid, serial, name, memory.total [MiB], memory.free [MiB], driver_version\n"
    f"0, GPU-{CARD_UUID}, {SERIAL}, NVIDIA L4, 23034 MiB, 22000 MiB, 550.54.15\n",
    "q.xml": f"<?xml version='1.0' ?><nvidia_smi_log><timestamp>today</timestamp><gpu id='0'><serial>{SERIAL}</serial>"
    f"<product_name>NVIDIA L4</product_name><uuid>GPU-{CARD_UUID}</uuid><gpu_pdi>0x{HEX_ID}</gpu_pdi><processes>"
    f"<process_info><process_name>/home/{PERSON}/train</process_name></process_info></processes></gpu></nvidia_smi_log>",
    "table.txt": "| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4 |\n"
    "|   0  NVIDIA L4   Off |   00000000:01:00.0  On |       N/A |\n"
    "| 37%   40C    P8     9W /  72W |     488MiB /  23034MiB |      0%      Default |\n"
    f"| Processes:  |\n|    0   N/A  N/A    2056   C   /home/{PERSON}/python   100MiB |\n",
    "platform.json": json.dumps(
        {"os": "linux", "arch": "x86_64", "python": "3.12", "libc": "glibc 2.36", "os_version": "12",
         "environ": {"CUDA_VISIBLE_DEVICES": f"GPU-{CARD_UUID}", "KUBERNETES_SERVICE_HOST": "10.1.2.3"}}
    ),
}  # fmt: skip
MAC = {
    "sysctl.txt": f"hw.memsize: 17179869184\nhw.optional.arm64: 1\nhw.physicalcpu: 8\nhw.logicalcpu: 8\n"
    f"machdep.cpu.brand_string: Apple M2\nkern.hostname: {PERSON}s-mac.local\nkern.uuid: {CARD_UUID.upper()}\n"
    f"kern.bootargs: serial={SERIAL}\nkern.osproductversion: 15.1\nnet.link.ether: 00:1b:44:11:3a:b7\n",
}
ROCM = {
    "rocm.json": json.dumps(
        {
            "card0": {
                "Card Series": "Navi 22",
                "GFX Version": "gfx1031",
                "VRAM Total Memory (B)": "12868124672",
                "Unique ID": f"0x{HEX_ID}",
                "Serial Number": SERIAL,
            }
        }
    ),
}


def contents(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(f"{path.relative_to(folder)}\n{path.read_text('utf-8')}" for path in files)


def test_this_computer_and_its_recording_give_the_same_answer(tmp_path: Path) -> None:
    machine, files = record(tmp_path / "here")
    assert detect(RecordedSource(tmp_path / "here")) == machine
    assert machine.cpu.logical_cores
    assert set(files) == {
        path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("*") if path.is_file()
    }
    platform_file = json.loads((tmp_path / "here" / "platform.json").read_text("utf-8"))
    assert {"os", "arch", "python"} <= platform_file.keys()


def test_this_computers_names_are_not_in_its_recording(tmp_path: Path) -> None:
    record(tmp_path / "here")
    text = contents(tmp_path / "here").lower()
    for name in (platform.node().lower(), getpass.getuser().lower()):
        if len(name) > 4:
            assert name not in text


@pytest.mark.parametrize("files", [TELLING, MAC, ROCM], ids=["linux", "mac", "rocm"])
def test_nothing_that_names_somebody_or_one_device_is_written(
    files: dict[str, str], tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: f"{PERSON}.example.org")
    monkeypatch.setenv("USER", PERSON)
    source = RecordedSource(write(tmp_path / "whole", files))
    machine, _ = record(tmp_path / "clean", source)
    text = contents(tmp_path / "clean").lower()
    for secret in SECRETS:
        assert secret.lower() not in text, secret
    assert "10.1.2.3" not in text
    again = detect(RecordedSource(tmp_path / "clean"))
    # The one note that repeats a card's number repeats what stands for it.
    assert {**again.to_json(), "notes": []} == {**machine.to_json(), "notes": []}
    assert len(again.notes) == len(machine.notes)


def test_what_the_probes_need_stays(tmp_path: Path, write: Write) -> None:
    record(tmp_path / "clean", RecordedSource(write(tmp_path / "whole", TELLING)))
    machine = detect(RecordedSource(tmp_path / "clean"))
    assert machine.memory.limit_bytes == 1024**3
    assert machine.container
    assert [card.name for card in machine.accelerators if card.vendor == "nvidia"] == ["NVIDIA L4"]
    assert any("1 AMD cards are partitioned into 2" in note for note in machine.notes)
    assert any("/dev/shm" in note for note in machine.notes)
    written = {path.name for path in (tmp_path / "clean").iterdir()}
    assert {"nvidia-smi-q-x.xml", "nvidia-smi-query-gpu.csv", "nvidia-smi.txt"} <= written


def test_equal_numbers_stay_equal_and_different_ones_different() -> None:
    mask = Mask({})
    first, second = "unique_id 77777777\n", "unique_id 88888888\n"
    path = "sys/class/kfd/kfd/topology/nodes/1/properties"
    assert mask.file(path, first) == mask.file(path, first) != mask.file(path, second)
    assert mask.file(path, "unique_id 0\n") == "unique_id 0\n"


def test_common_words_are_nobodys_name() -> None:
    mask = Mask({"linux": "host", "root": "user", "ada": "user"})
    assert mask.file("proc/sys/kernel/osrelease", "6.1-linux-root-ada\n") == "6.1-linux-root-user\n"


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "mine", {"notes.txt": "keep me"})
    for place, code in ((".", 2), ("notes.txt", 2), ("notes.txt/below", 1)):
        with pytest.raises(ScaffoldError) as error:
            record(tmp_path / "mine" / place)
        assert str(tmp_path / "mine" / place) in error.value.message
        assert error.value.exit_code == code
    assert contents(tmp_path / "mine") == "notes.txt\nkeep me"


def test_on_the_command_line(scaffold: Callable[..., Answer], tmp_path: Path) -> None:
    recorded = scaffold("hardware", "--record", tmp_path / "here", "--json")
    assert recorded.code == 0
    assert recorded.json["recorded"]["path"] == str(tmp_path / "here")
    assert str(tmp_path / "here") in recorded.err
    answer = scaffold("hardware", "--from", tmp_path / "here", "--json").json
    assert answer == {key: value for key, value in recorded.json.items() if key != "recorded"}
    assert scaffold("plan", "transformer", "--from", tmp_path / "here", "--json").code == 0
    assert scaffold("hardware", "--record", tmp_path / "here").code == 2
    assert scaffold("hardware", "--record", tmp_path / "other", "--target", "h100").code == 2
    assert not (tmp_path / "other").exists()
