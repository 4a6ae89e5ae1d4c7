"""Recordings as people send them: fields missing, files cut in the middle, garbage. None crashes, none invents."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaffold.errors import NotFoundError
from scaffold.hardware.detect import detect
from scaffold.hardware.machine import Machine
from scaffold.hardware.recording import RecordedSource
from scaffold.hardware.torch_build import choose

WHOLE = {
    "cpuinfo": "\n".join(
        f"processor\t: {cpu}\nmodel name\t: CPU\nphysical id\t: 0\nsiblings\t: 4\n"
        f"core id\t: {cpu // 2}\nflags\t: lm avx2\n"
        for cpu in range(4)
    ),
    "proc/self/cgroup": "0::/a/b\n",
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
    "nvidia-smi-q.txt": "==============NVSMI LOG==============\n\nDriver Version                 : 570.86.10\n"
    "GPU 00000000:01:00.0\n    Product Name               : NVIDIA GeForce RTX 3060\n    MIG Mode\n"
    "        Current                : N/A\n    FB Memory Usage\n        Total                  : 12288 MiB\n"
    "        Free                   : 11800 MiB\n",
    "nvidia-smi-L.txt": "GPU 0: NVIDIA GeForce RTX 3060 (UUID: GPU-00000000-0000-0000-0000-000000000000)\n",
    "nvidia-smi--version.txt": "NVIDIA-SMI version  : 570.86.10\nDRIVER version      : 570.86.10\n",
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


def machine_of(name: str, data: bytes) -> Machine | None:
    """What is said of a machine of which this one file is all there is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            return detect(RecordedSource(Path(folder)))
        except NotFoundError:
            return None


def figures(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every known figure and name of an answer, with its place in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("notes", "count", "unified"):
                yield from figures(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from figures(inner, f"{place}[]")
    elif value not in (None, False):
        yield place, value


@cache
def truth(name: str) -> frozenset[tuple[str, object]]:
    machine = machine_of(name, WHOLE[name].encode())
    assert machine is not None
    return frozenset(figures(machine.to_json()))


def assert_nothing_is_invented(name: str, data: bytes) -> None:
    machine = machine_of(name, data)
    if machine is not None:
        assert set(figures(machine.to_json())) - truth(name) == set()
        assert sum(card.count for card in machine.accelerators) <= 1


# One value of a file: a word, a number with its unit, or what stands between two marks.
VALUE = re.compile(r"(?<=[:>,]) *[^\n:<>,|]+|(?<![A-Z] )\b(?<!\.)\d[\d.]*(?:MiB| MiB| kB)?")
WORTHLESS = (
    "", "N/A", "[N/A]", "[Not Supported]", "[Insufficient Permissions]", "ERR!", "nan", "-1", "null", "\0\0\0",
    "9" * 30, "9" * 5000, "1" + "0" * 18, "0x" + "f" * 15, "-5 MiB", "1e9", "\u0663\u0663", "\ufffd\ufffd",
)  # fmt: skip
CHECKED = sorted(WHOLE)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(CHECKED), worthless=st.sampled_from(WORTHLESS), data=st.data())
def test_a_value_that_says_nothing_leads_to_no_figure(name: str, worthless: str, data: st.DataObject) -> None:
    values = list(VALUE.finditer(WHOLE[name]))
    value = data.draw(st.sampled_from(values))
    text = WHOLE[name][: value.start()] + worthless + WHOLE[name][value.end() :]
    assert_nothing_is_invented(name, text.encode("utf-8", "surrogatepass"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(CHECKED), data=st.data())
def test_a_line_that_is_missing_leads_to_no_figure(name: str, data: st.DataObject) -> None:
    lines = WHOLE[name].splitlines(keepends=True)
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1, max_size=3))
    left = "".join(line for i, line in enumerate(lines) if i not in gone)
    assert_nothing_is_invented(name, left.encode())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(CHECKED), noise=st.binary(min_size=1, max_size=400), data=st.data())
def test_noise_after_a_cut_leads_to_no_figure(name: str, noise: bytes, data: st.DataObject) -> None:
    whole = WHOLE[name].encode()
    end = data.draw(st.integers(0, len(whole)))
    # Digits and letters would continue a value, which nobody could tell from a longer one.
    foreign = bytes(byte | 0x80 for byte in noise)
    assert_nothing_is_invented(name, whole[:end] + foreign)


@pytest.mark.parametrize("name", CHECKED)
def test_wherever_a_file_is_cut_every_figure_is_right_or_unknown(name: str) -> None:
    whole = WHOLE[name].encode()
    for end in range(len(whole)):
        assert_nothing_is_invented(name, whole[:end])


@pytest.mark.parametrize("size", [1, 4096, 1024 * 1024])
@pytest.mark.parametrize("name", ["cpuinfo", "nvidia-smi.txt", "q.xml", "rocm.json", "proc/self/cgroup"])
def test_a_file_of_nothing_but_noise(name: str, size: int) -> None:
    for noise in (b"\0", b"\xff", b"9", b"{", b"<", b"0-9,", b"a\n"):
        machine = machine_of(name, (noise * size)[:size])
        assert machine is None or set(figures(machine.to_json())) <= {(".os", "linux")}
