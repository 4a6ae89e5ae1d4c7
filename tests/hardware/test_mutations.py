"""Recordings as people send them: fields missing, files cut in the middle, garbage. None crashes, none invents."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaffold.errors import NotFoundError
from scaffold.hardware.detect import detect
from scaffold.hardware.recording import RecordedSource
from scaffold.hardware.torch_build import choose

Write = Callable[[Path, dict[str, str]], Path]
WHOLE = {
    "cpuinfo": "\n".join(
        f"processor\t: {cpu}\nmodel name\t: CPU\nphysical id\t: 0\nsiblings\t: 4\n"
        f"core id\t: {cpu // 2}\nflags\t: lm avx2\n"
        for cpu in range(4)
    ),
    "meminfo": "MemTotal:       16777216 kB\nMemFree:         1024 kB\nMemAvailable:    8388608 kB\n",
    "status": "Name:\tx\nCpus_allowed_list:\t0-3\n",
    "platform.json": json.dumps({"os": "linux", "arch": "x86_64", "python": "3.12", "libc": "glibc 2.36"}),
    "q.csv": "index, name, memory.total [MiB], memory.free [MiB], driver_version, compute_cap, mig.mode.current\n"
    "0, NVIDIA GeForce RTX 3060, 12288 MiB, 11800 MiB, 570.86.10, 8.6, [N/A]\n",
    "q.xml": "<?xml version='1.0' ?><nvidia_smi_log><driver_version>570.86.10</driver_version><gpu id='0'>"
    "<product_name>NVIDIA GeForce RTX 3060</product_name><product_architecture>Ampere</product_architecture>"
    "<mig_mode><current_mig>N/A</current_mig></mig_mode><fb_memory_usage><total>12288 MiB</total>"
    "<free>11800 MiB</free></fb_memory_usage></gpu></nvidia_smi_log>",
    "nvidia-smi.txt": "| NVIDIA-SMI 570.86.10    Driver Version: 570.86.10    CUDA Version: 12.8 |\n"
    "|   0  NVIDIA GeForce RTX 3060   Off |   00000000:01:00.0  On |       N/A |\n"
    "| 37%   40C    P8     9W /  170W |     488MiB /  12288MiB |      0%      Default |\n",
    "rocm.json": json.dumps({"card0": {"Card Series": "Navi 22", "VRAM Total Memory (B)": "12884901888"}}),
    "sysctl.txt": "hw.memsize: 17179869184\nhw.optional.arm64: 1\nhw.physicalcpu: 8\n"
    "machdep.cpu.brand_string: Apple M2\n",
    "kfd/topology/nodes/1/properties": "simd_count 416\ngfx_target_version 90402\ndevice_id 29857\n",
    "sys/class/drm/card0/device/vendor": "0x8086\n",
    "sys/class/drm/card0/device/device": "0xe20b\n",
    "sys/fs/cgroup/cpu.max": "200000 100000\n",
    "sys/devices/system/cpu/online": "0-3\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Thu\n",
}


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, bytes]:
    names = draw(st.lists(st.sampled_from(sorted(WHOLE)), min_size=1, max_size=4, unique=True))
    files = {}
    for name in names:
        text = WHOLE[name]
        how = draw(st.sampled_from(["whole", "cut", "drop a line", "absent value", "garbage inside", "garbage"]))
        place = draw(st.integers(0, len(text)))
        if how == "cut":
            text = text[:place]
        elif how == "drop a line":
            lines = text.splitlines(keepends=True)
            del lines[place % len(lines)]
            text = "".join(lines)
        elif how == "absent value":
            values = [
                "12288 MiB",
                "11800 MiB",
                "8.6",
                "570.86.10",
                "NVIDIA GeForce RTX 3060",
                "16777216 kB",
                "416",
                "0-3",
            ]
            text = text.replace(draw(st.sampled_from(values)), draw(st.sampled_from(["[N/A]", "N/A", "", "-1", "nan"])))
        elif how == "garbage inside":
            text = text[:place] + draw(st.text(max_size=20)) + text[place:]
        data = text.encode("utf-8", "surrogatepass")
        files[name] = draw(st.binary(max_size=200)) if how == "garbage" else data
    return files


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=mutated())
def test_a_damaged_recording_never_crashes_detection(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in ({"platform.json": b'{"os": null, "arch": null}'} | files).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            source = RecordedSource(Path(folder))
        except NotFoundError:
            return
        machine = detect(source)
    assert choose(machine).reason
    assert machine.summary()
    json.dumps(machine.to_json())
    for card in machine.accelerators:
        assert card.memory_bytes is None or card.memory_bytes > 0
        assert card.memory_free_bytes is None or 0 <= card.memory_free_bytes <= (card.memory_bytes or 0)


@pytest.mark.parametrize("name", ["q.csv", "q.xml", "nvidia-smi.txt"])
def test_wherever_the_file_is_cut_figures_are_right_or_unknown(name: str, tmp_path: Path, write: Write) -> None:
    text = WHOLE[name]
    for end in range(len(text)):
        folder = write(tmp_path, {name: text[:end], "platform.json": '{"os": "linux"}'})
        for card in detect(RecordedSource(folder)).accelerators:
            assert card.name in (None, "NVIDIA GeForce RTX 3060")
            assert card.memory_bytes in (None, 12288 * 1024**2)
            assert card.memory_free_bytes in (None, 11800 * 1024**2)
            assert card.compute_capability in (None, "8.6")
