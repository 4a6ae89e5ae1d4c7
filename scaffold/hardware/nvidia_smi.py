"""Readers of what nvidia-smi prints for programs: CSV and XML. Each gives cards, none where it can't read.

Fields that a driver can't tell read ``[N/A]``, ``[Not Supported]``, ``[Insufficient Permissions]`` and the like; those,
and any text that doesn't have a field's shape, count as unknown.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scaffold.hardware.parse import MOST_CARD_BYTES, shown_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_MIB = 1024**2
DRIVER = re.compile(r"\d{3,4}\.\d{1,3}(?:\.\d{1,3})?", re.ASCII)
_CAPABILITY = re.compile(r"[1-9]\d?\.\d", re.ASCII)
_MEMORY = re.compile(r"(\d{1,9})(?: MiB)?", re.ASCII)
_NAME = re.compile(
    r"(?:NVIDIA|GeForce|Quadro|Tesla|TITAN|GRID|RTX|GTX|Graphics Device|Orin|Jetson)\b[\w ()/+.-]*", re.ASCII
)
_UNIT = re.compile(r"\s*\[[^\]]*\]$")


@dataclass(frozen=True)
class Card:
    """One GPU as nvidia-smi tells it; ``driver_model`` is ``N/A`` on Linux, and ``WDDM`` or ``TCC`` on Windows."""

    name: str | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    compute_capability: str | None = None
    driver: str | None = None
    architecture: str | None = None
    mig_enabled: bool = False
    mig: tuple[dict[str, Any], ...] = field(default=())
    driver_model: str | None = None


def read_csv(text: str) -> list[Card]:
    """The answer to ``--query-gpu``, with a header or without: then fields are told by their shape."""
    rows = [[value.strip() for value in line.split(",")] for line in text.splitlines() if "," in line]
    if not rows:
        return []
    header = [_UNIT.sub("", value) for value in rows[0]]
    if not {"name", "gpu_name", "memory.total", "driver_version", "compute_cap"} & set(header):
        return [card for card in map(_from_shapes, _without_cut_end(text, rows)) if card != Card()]
    cards = [_from_row(header, row) for row in rows[1:-1]]
    if len(rows) > 1:
        last = rows[-1]
        cut = not text.endswith("\n") and len(last) < len(header)
        cards.append(_from_columns(header, last[:-1]) if cut else _from_row(header, last))
    return cards


def read_xml(text: str) -> list[Card]:
    """The answer to ``-q -x``. A document that was cut off gives what came before the cut."""
    root = _parse_partly(text)
    if root is None or root.tag != "nvidia_smi_log":
        return []
    # Drivers from 610 on call it the kernel mode driver.
    driver = shaped(DRIVER, root.findtext("driver_version")) or shaped(DRIVER, root.findtext("kmd_version"))
    return [_from_element(gpu, driver) for gpu in root.findall("gpu")]


def _from_row(header: list[str], row: list[str]) -> Card:
    if len(row) != len(header):
        # A field is missing somewhere, and nothing says which: no figure can be told, only the name by its shape.
        return Card(name=next((value for value in row if _NAME.fullmatch(value)), None))
    return _from_columns(header, row)


def _from_columns(header: list[str], values: list[str]) -> Card:
    row = dict(zip(header, values, strict=False))
    in_units = any(value.endswith(" MiB") for value in values)
    total, free = (_column_size(row.get(name), in_units=in_units) for name in ("memory.total", "memory.free"))
    return Card(
        name=known(row.get("name", row.get("gpu_name"))),
        memory_bytes=total or None,
        memory_free_bytes=free_bytes(free, total),
        compute_capability=shaped(_CAPABILITY, row.get("compute_cap")),
        driver=shaped(DRIVER, row.get("driver_version")) or shaped(DRIVER, row.get("kmd_version")),
        mig_enabled=row.get("mig.mode.current") == "Enabled",
        driver_model=driver_model(row.get("driver_model.current")),
    )


def _column_size(text: str | None, *, in_units: bool) -> int | None:
    # A number without the unit that its neighbours have was cut off.
    return None if in_units and (text or "").isdecimal() else mebibytes(text)


def _from_shapes(values: list[str]) -> Card:
    """A row without a header. A shape that two different values have tells neither of them."""

    def only(shape: re.Pattern[str]) -> str | None:
        found = {value for value in values if shape.fullmatch(value)}
        return found.pop() if len(found) == 1 else None

    # An index is small; memory without its unit is not.
    sizes = [int(match[1]) * _MIB for match in map(_MEMORY.fullmatch, values) if match and int(match[1]) >= 256]
    total = sizes[0] if 1 <= len(sizes) <= 3 else None
    return Card(
        name=only(_NAME),
        memory_bytes=total,
        memory_free_bytes=free_bytes(sizes[1] if len(sizes) == 2 else None, total),
        compute_capability=only(_CAPABILITY),
        driver=only(DRIVER),
        mig_enabled="Enabled" in values and len(values) < 20,
    )


def _without_cut_end(text: str, rows: list[list[str]]) -> list[list[str]]:
    """The rows, without a last name or number that may go on: nvidia-smi ends its last line."""
    last = rows[-1][-1]
    may_go_on = last.isdecimal() or _NAME.fullmatch(last) or re.fullmatch(r"\d{3,4}\.\d+(?:\.\d)?", last, re.ASCII)
    if text.endswith("\n") or not may_go_on:
        return rows
    return [*rows[:-1], rows[-1][:-1]]


def _from_element(gpu: Element, driver: str | None) -> Card:
    total = mebibytes(gpu.findtext("fb_memory_usage/total"))
    instances = (_instance(device) for device in gpu.findall("mig_devices/mig_device"))
    return Card(
        name=known(gpu.findtext("product_name")),
        memory_bytes=total or None,
        memory_free_bytes=free_bytes(mebibytes(gpu.findtext("fb_memory_usage/free")), total),
        driver=driver,
        architecture=known(gpu.findtext("product_architecture")),
        mig_enabled=gpu.findtext("mig_mode/current_mig") == "Enabled",
        mig=tuple(instances),
        driver_model=driver_model(gpu.findtext("driver_model/current_dm")),
    )


def _instance(device: Element) -> dict[str, Any]:
    total = mebibytes(device.findtext("fb_memory_usage/total"))
    processors = (device.findtext("device_attributes/shared/multiprocessor_count") or "").strip()
    return {
        "memory_bytes": total,
        "memory_free_bytes": free_bytes(mebibytes(device.findtext("fb_memory_usage/free")), total),
        "multiprocessors": int(processors) if re.fullmatch(r"\d{1,4}", processors, re.ASCII) else None,
    }


def _parse_partly(text: str) -> Element | None:
    from xml.etree.ElementTree import ParseError, XMLPullParser

    # The root is there as soon as it starts and keeps what follows, so it survives an error further down.
    parser: XMLPullParser[Any] = XMLPullParser(events=("start",))
    root: Element | None = None
    with contextlib.suppress(ParseError):
        parser.feed(text[max(0, text.find("<nvidia_smi_log")) :])
    with contextlib.suppress(ParseError):
        started: Any = parser.read_events()
        root = next((element for _, element in started), None)
    return root


def known(text: str | None) -> str | None:
    """A name; ``None`` for a word that stands for none."""
    value = shown_name(text)
    return None if value is None or value.startswith("Requested func") else value


def driver_model(text: str | None) -> str | None:
    """Windows' driver model, or ``N/A`` where there is none."""
    value = (text or "").strip().strip("[]")
    return value if value in ("N/A", "WDDM", "TCC", "MCDM") else None


def shaped(shape: re.Pattern[str], text: str | None) -> str | None:
    """The text where it has that shape from end to end."""
    value = (text or "").strip()
    return value if shape.fullmatch(value) else None


def mebibytes(text: str | None) -> int | None:
    """Bytes of a size such as ``24564 MiB``; none of a card is no size."""
    match = _MEMORY.fullmatch((text or "").strip())
    return int(match[1]) * _MIB if match and int(match[1]) * _MIB <= MOST_CARD_BYTES else None


def free_bytes(free: int | None, total: int | None) -> int | None:
    """What is free, where it is no more than there is."""
    return free if free is not None and total and free <= total else None
