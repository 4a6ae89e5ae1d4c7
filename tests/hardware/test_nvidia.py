"""NVIDIA cards from nvidia-smi's three kinds of output, and from what the driver leaves under /proc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scaffold.hardware.machine import Machine
from scaffold.hardware.nvidia import capability_from_name

Look = Callable[[dict[str, str]], Machine]
MIB = 1024**2

HEADER = "index, uuid, name, memory.total [MiB], memory.free [MiB], driver_version, compute_cap, mig.mode.current"


def row(index: int, name: str, total: str, free: str, capability: str = "8.6", mig: str = "[N/A]") -> str:
    uuid = f"GPU-0000000{index}-0000-0000-0000-000000000000"
    return f"{index}, {uuid}, {name}, {total}, {free}, 570.86.10, {capability}, {mig}"


def xml(*gpus: str, driver: str = "570.86.10") -> str:
    body = f"<driver_version>{driver}</driver_version>{''.join(gpus)}"
    return f'<?xml version="1.0" ?>\n<nvidia_smi_log>{body}</nvidia_smi_log>'


def gpu(name: str, *, mig: str = "N/A", devices: str = "None", model: str = "N/A", architecture: str = "Ampere") -> str:
    return (
        f"<gpu><product_name>{name}</product_name><product_architecture>{architecture}</product_architecture>"
        f"<mig_mode><current_mig>{mig}</current_mig></mig_mode><mig_devices>{devices}</mig_devices>"
        f"<driver_model><current_dm>{model}</current_dm></driver_model>"
        "<fb_memory_usage><total>40960 MiB</total><free>40000 MiB</free></fb_memory_usage>"
        "<bar1_memory_usage><total>256 MiB</total><free>9 MiB</free></bar1_memory_usage></gpu>"
    )


def test_csv_with_a_header(look: Look) -> None:
    text = "\n".join([HEADER, row(0, "NVIDIA GeForce RTX 3060", "12288 MiB", "11800 MiB")])
    (card,) = look({"anything.csv": text}).accelerators
    assert (card.name, card.memory_bytes, card.memory_free_bytes) == (
        "NVIDIA GeForce RTX 3060",
        12288 * MIB,
        11800 * MIB,
    )
    assert (card.compute_capability, card.driver, card.mig, card.count) == ("8.6", "570.86.10", None, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "0, GPU-01234567-89ab-cdef-0123-456789abcdef, Tesla T4, 15360, 15000, 535.104.05, 7.5, [N/A]",
            ("Tesla T4", 15360 * MIB, 15000 * MIB, "7.5", "535.104.05"),
        ),
        (
            "NVIDIA H200, 143771 MiB, 143000 MiB, 590.48.01",
            ("NVIDIA H200", 143771 * MIB, 143000 * MIB, "9.0", "590.48.01"),
        ),
        ("0, NVIDIA L4, 550.54.15, 8.9", ("NVIDIA L4", None, None, "8.9", "550.54.15")),
        # Three sizes: which one is free can't be told.
        ("NVIDIA L4, 23034 MiB, 1000 MiB, 22034 MiB", ("NVIDIA L4", 23034 * MIB, None, "8.9", None)),
    ],
)
def test_csv_without_a_header_is_read_by_shape(look: Look, text: str, expected: tuple[object, ...]) -> None:
    (card,) = look({"gpus.txt": text}).accelerators
    assert (
        card.name,
        card.memory_bytes,
        card.memory_free_bytes,
        card.compute_capability,
        card.driver,
    ) == expected


def test_equal_cards_are_one_row_and_different_ones_are_not(look: Look) -> None:
    rows = [row(i, "NVIDIA L4", "23034 MiB", "22000 MiB", "8.9") for i in range(2)]
    machine = look({"q.csv": "\n".join([HEADER, *rows, row(2, "NVIDIA L4", "23034 MiB", "100 MiB", "8.9")])})
    assert [card.count for card in machine.accelerators] == [2, 1]
    assert machine.primary is not None
    assert (machine.primary.count, machine.primary.memory_free_bytes) == (3, 100 * MIB)
    assert machine.summary().startswith("3 × NVIDIA L4 with 22 GB each")


@pytest.mark.parametrize(
    "absent", ["[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]", "[Unknown Error]", ""]
)
def test_a_field_the_driver_cannot_tell_is_unknown(look: Look, absent: str) -> None:
    text = "\n".join([HEADER, row(0, "NVIDIA Future 9000", absent, absent, absent)])
    (card,) = look({"q.csv": text}).accelerators
    assert (card.memory_bytes, card.memory_free_bytes, card.compute_capability) == (None, None, None)
    assert not card.unified


def test_memory_of_a_chip_without_its_own_is_the_computers(look: Look) -> None:
    text = "\n".join([HEADER, row(0, "NVIDIA GB10", "[N/A]", "[N/A]", "12.1")])
    (card,) = look({"q.csv": text, "proc/meminfo": "MemTotal: 125829120 kB\nMemAvailable: 1048576 kB\n"}).accelerators
    assert card.unified
    assert (card.memory_bytes, card.memory_free_bytes) == (120 * 1024**3, 1024**3)


def test_xml_has_no_capability_so_the_name_tells_it(look: Look) -> None:
    machine = look({"log.xml": xml(gpu("NVIDIA A100-SXM4-40GB"))})
    (card,) = machine.accelerators
    assert (card.compute_capability, card.memory_bytes, card.arch) == ("8.0", 40960 * MIB, "Ampere")
    assert machine.os == "linux"


def test_a_mig_card_gives_a_process_one_instance(look: Look) -> None:
    device = (
        "<mig_device><device_attributes><shared><multiprocessor_count>42</multiprocessor_count></shared>"
        "</device_attributes><fb_memory_usage><total>19968 MiB</total><free>19000 MiB</free></fb_memory_usage>"
        "</mig_device>"
    )
    csv = "\n".join([HEADER, row(0, "NVIDIA A100-SXM4-40GB", "40960 MiB", "40000 MiB", "8.0", "Enabled")])
    machine = look({"q.csv": csv, "q.xml": xml(gpu("NVIDIA A100-SXM4-40GB", mig="Enabled", devices=device * 2))})
    (card,) = machine.accelerators
    assert card.mig is not None
    assert [instance["memory_bytes"] for instance in card.mig] == [19968 * MIB] * 2
    assert card.process_memory_bytes == 19968 * MIB
    assert machine.to_json()["accelerators"][0]["mig"][0]["memory_bytes"] == 19968 * MIB


def test_mig_without_an_instance_is_noted(look: Look) -> None:
    machine = look({"q.xml": xml(gpu("NVIDIA A100-SXM4-40GB", mig="Enabled"))})
    assert machine.accelerators[0].mig == ()
    assert any("no instance" in note for note in machine.notes)


def test_a_document_that_was_cut_keeps_what_came_before(look: Look) -> None:
    whole = xml(gpu("NVIDIA A10G"), gpu("NVIDIA L4"))
    cut = whole[: whole.index("NVIDIA L4") + 4]
    names = [card.name for card in look({"q.xml": cut}).accelerators]
    assert names[0] == "NVIDIA A10G"
    assert "NVIDIA L4" not in names


TABLE = """\
| NVIDIA-SMI 526.98       Driver Version: 526.98       CUDA Version: 12.0     |
|-------------------------------+----------------------+----------------------+
| GPU  Name            TCC/WDDM | Bus-Id        Disp.A | Volatile Uncorr. ECC |
|===============================+======================+======================|
|   0  Tesla P100-PCIE... TCC   | 00000000:04:00.0 Off |                    0 |
| N/A   35C    P0    25W / 250W |      8MiB / 16384MiB |      0%      Default |
+-------------------------------+----------------------+----------------------+
|   1  Quadro P2000       WDDM  | 00000000:81:00.0  On |                  N/A |
| 33%   40C    P8     9W / 250W |    971MiB /  5120MiB |      7%      Default |
+-------------------------------+----------------------+----------------------+
| Processes:                                                                  |
|    0   N/A  N/A      2056    C+G   C:\\Windows\\System32\\dwm.exe      100MiB |
"""


def test_the_table_cuts_names_short_and_those_are_no_names(look: Look) -> None:
    machine = look({"nvidia-smi.txt": TABLE})
    assert machine.os == "windows"
    assert [(card.name, card.memory_bytes, card.compute_capability) for card in machine.accelerators] == [
        (None, 16384 * MIB, None),
        ("Quadro P2000", 5120 * MIB, "6.1"),
    ]
    assert {card.driver for card in machine.accelerators} == {"526.98"}


QUERY = """\
==============NVSMI LOG==============

Driver Version                                         : 550.54.15
CUDA Version                                           : 12.4

Attached GPUs                                          : 2
GPU 00000000:07:00.0
    Product Name                                       : NVIDIA A100-SXM4-40GB
    Product Architecture                               : Ampere
    MIG Mode
        Current                                        : Enabled
        Pending                                        : Enabled
    MIG Device
        Index                                          : 0
        Device Attributes
            Shared
                Multiprocessor count                   : 42
        FB Memory Usage
            Total                                      : 19968 MiB
            Free                                       : 19000 MiB
        BAR1 Memory Usage
            Total                                      : 32767 MiB
    Driver Model
        Current                                        : N/A
    FB Memory Usage
        Total                                          : 40960 MiB
        Free                                           : 40000 MiB
    BAR1 Memory Usage
        Total                                          : 65536 MiB
    Processes                                          : None

GPU 00000000:08:00.0
    Product Name                                       : NVIDIA A100-SXM4-40GB
    MIG Mode
        Current                                        : Disabled
    FB Memory Usage
        Total                                          : N/A
"""


def test_the_long_text(look: Look) -> None:
    first, second = look({"nvidia-smi-q.txt": QUERY}).accelerators
    assert (first.name, first.arch, first.driver) == ("NVIDIA A100-SXM4-40GB", "Ampere", "550.54.15")
    assert (first.memory_bytes, first.memory_free_bytes) == (40960 * MIB, 40000 * MIB)
    assert first.mig == ({"memory_bytes": 19968 * MIB, "memory_free_bytes": 19000 * MIB, "multiprocessors": 42},)
    assert (second.memory_bytes, second.mig, second.compute_capability) == (None, None, "8.0")


def test_the_list_of_cards(look: Look) -> None:
    text = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-0)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-0)\n  MIG 3g.20gb     Device  1: (UUID: MIG-1)\n"
        "GPU 1: NVIDIA L4 (UUID: GPU-1)\n"
    )
    first, second = look({"any.txt": text}).accelerators
    assert (first.name, len(first.mig or ()), first.process_memory_bytes) == ("NVIDIA A100-SXM4-40GB", 2, None)
    assert (second.name, second.mig, second.driver) == ("NVIDIA L4", None, None)


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-SMI version  : 590.48.01\nNVML version        : 590.48\nDRIVER version      : 590.48.01\n",
        "NVIDIA-SMI version  : 610.10\nDRIVER version      : Deprecated, see KMD version\nKMD version : 590.48.01\n",
    ],
)
def test_the_version_alone(look: Look, text: str) -> None:
    (card,) = look({"any.txt": text}).accelerators
    assert (card.name, card.driver, card.memory_bytes) == (None, "590.48.01", None)


def test_one_output_fills_in_what_another_lacks(look: Look) -> None:
    files = {
        "q.csv": "0, NVIDIA L4, 550.54.15, 8.9\n",
        "q.xml": xml(gpu("NVIDIA L4", architecture="Ada Lovelace"), driver="550.54.15"),
    }
    (card,) = look(files).accelerators
    assert (card.memory_bytes, card.memory_free_bytes, card.arch) == (40960 * MIB, 40000 * MIB, "Ada Lovelace")


def test_outputs_about_different_cards_are_not_mixed(look: Look) -> None:
    (card,) = look({"q.csv": "0, NVIDIA L4, 550.54.15, 8.9\n", "q.xml": xml(gpu("NVIDIA A10G"))}).accelerators
    assert (card.name, card.memory_bytes) == ("NVIDIA L4", None)


def test_a_mig_card_of_which_only_the_mode_is_known_promises_no_memory(look: Look) -> None:
    csv = "\n".join([HEADER, row(0, "NVIDIA A100-SXM4-40GB", "40960 MiB", "40000 MiB", "8.0", "Enabled")])
    machine = look({"q.csv": csv})
    assert machine.accelerators[0].process_memory_bytes is None
    assert any("MIG" in note for note in machine.notes)


@pytest.mark.parametrize(("tool", "driver", "wsl"), [
    ("525.60.02", "526.98", True), ("526.98", "526.98", False), ("550.54.15", "550.54", False),
    ("595.80", "595.80", False),
])  # fmt: skip
def test_the_table_of_wsl_has_two_numbers(look: Look, tool: str, driver: str, wsl: bool) -> None:
    text = (
        f"| NVIDIA-SMI {tool}    Driver Version: {driver}    CUDA Version: 12.0 |\n"
        "|   0  NVIDIA L4          On  | 00000000:04:00.0 Off |                    0 |\n"
        "| N/A   35C    P0    25W / 250W |      8MiB / 23034MiB |      0%      Default |\n"
    )
    machine = look({"nvidia-smi.txt": text})
    assert (machine.wsl, machine.os) == (wsl, "linux")
    assert [card.driver for card in machine.accelerators] == [driver]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No devices were found\n", "finds no card"),
        ("Failed to initialize NVML: Driver/library version mismatch\n", "restart the computer"),
        (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
            "isn't loaded",
        ),
        ("Failed to initialize NVML: Unknown Error\n", "restart the container"),
    ],
)
def test_trouble_is_said_and_no_card_is_made_up(look: Look, text: str, words: str) -> None:
    machine = look(
        {"nvidia-smi.txt": text, "proc/driver/nvidia/version": "NVRM version: Kernel Module  550.54.14  x\n"}
    )
    assert machine.accelerators == ()
    assert any(words in note for note in machine.notes)


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  515.65.01  Wed Mar 16 2022\n", "515.65.01"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
        ("NVRM version: something else altogether\n", None),
    ],
)
def test_the_driver_alone(look: Look, text: str, driver: str | None) -> None:
    machine = look({"proc/driver/nvidia/version": text})
    assert [card.driver for card in machine.accelerators] == ([driver] if driver else [])


def test_a_driver_without_a_device_in_reach_is_no_gpu(look: Look) -> None:
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n"
    machine = look({"proc/driver/nvidia/version": version, "dev/null": ""})
    assert machine.accelerators == ()
    assert any("550.54.14" in note for note in machine.notes)


def test_the_cards_that_the_driver_lists_have_names(look: Look) -> None:
    files = {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n"}
    for slot in (1, 2):
        files[f"proc/driver/nvidia/gpus/0000:0{slot}:00.0/information"] = "Model: \t\t NVIDIA GeForce RTX 4090\n"
    (card,) = look(files).accelerators
    assert (card.name, card.count, card.compute_capability) == ("NVIDIA GeForce RTX 4090", 2, "8.9")


def test_what_to_watch_is_noted(look: Look) -> None:
    text = "\n".join([HEADER, row(0, "Tesla T4", "15360 MiB", "600 MiB", "7.5")])
    platform = '{"os": "linux", "environ": {"CUDA_VISIBLE_DEVICES": ""}}'
    notes = " ".join(look({"q.csv": text, "platform.json": platform}).notes)
    assert "no bf16 of its own" in notes
    assert "96% full" in notes
    assert "hides every card" in notes


# Names as nvidia-smi prints them; the capabilities are NVIDIA's list of CUDA GPUs.
@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6"),
        ("NVIDIA GeForce RTX 3090 Ti", "8.6"),
        ("NVIDIA GeForce RTX 2050", "8.6"),
        ("NVIDIA GeForce RTX 2080 SUPER", "7.5"),
        ("NVIDIA GeForce GTX 1660 Ti", "7.5"),
        ("NVIDIA GeForce GTX 1080 Ti", "6.1"),
        ("NVIDIA GeForce GTX 980 Ti", "5.2"),
        ("NVIDIA GeForce GTX 750 Ti", "5.0"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "8.9"),
        ("NVIDIA GeForce RTX 5090", "12.0"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "12.0"),
        ("NVIDIA RTX 4000 SFF Ada Generation", "8.9"),
        ("NVIDIA RTX 6000 Ada Generation", "8.9"),
        ("NVIDIA RTX A6000", "8.6"),
        ("Quadro RTX 4000", "7.5"),
        ("Quadro P2000", "6.1"),
        ("Quadro GV100", "7.0"),
        ("NVIDIA TITAN RTX", "7.5"),
        ("NVIDIA TITAN V", "7.0"),
        ("NVIDIA TITAN Xp", "6.1"),
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("Tesla P100-PCIE-16GB", "6.0"),
        ("Tesla P40", "6.1"),
        ("Tesla M60", "5.2"),
        ("Tesla K80", "3.7"),
        ("Tesla T4", "7.5"),
        ("NVIDIA A10", "8.6"),
        ("NVIDIA A10G", "8.6"),
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA A30", "8.0"),
        ("NVIDIA A40", "8.6"),
        ("NVIDIA L4", "8.9"),
        ("NVIDIA L40S", "8.9"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("NVIDIA B200", "10.0"),
        ("NVIDIA GB300", "10.3"),
        ("NVIDIA GB10", "12.1"),
        ("Orin (nvgpu)", "8.7"),
        ("Graphics Device", None),
        ("NVIDIA RTX 9999", None),
        ("NVIDIA A1000000", None),
        ("", None),
        (None, None),
    ],
)
def test_capability_from_name(name: str | None, capability: str | None) -> None:
    assert capability_from_name(name) == capability
