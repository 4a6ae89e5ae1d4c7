"""Readers of what nvidia-smi prints for people: its table, ``-q``, ``-L`` and ``--version``.

scaffold itself asks for CSV and XML; these are for recordings in which somebody kept another output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from scaffold.hardware.nvidia_smi import DRIVER, Card, driver_model, free_bytes, known, mebibytes, shaped
from scaffold.hardware.parse import finished_lines


def read_table(text: str) -> list[Card]:
    """What nvidia-smi prints without arguments. It cuts names short; such a name is no name."""
    match = re.search(r"(?:Driver|KMD) Version:\s*([\d.]+)\s", text)
    driver = shaped(DRIVER, match[1] if match else None)
    windows = "WDDM" in text[:1500] or "Driver-Model" in text[:1500]
    cards = []
    for row in re.finditer(r"^\|\s+\d+\s+(\S.*?)\s+(On|Off|N/A|TCC|WDDM|MCDM)\s*\|.*\|.*\|$\n(^\|.*\|$)", text, re.M):
        name, mode, figures = row.groups()
        memory = re.search(r"(\d+)MiB\s*/\s*(\d+)MiB", figures)
        below = text[row.end() : row.end() + 120]
        cards.append(
            Card(
                name=None if name.endswith("...") else known(name),
                memory_bytes=mebibytes(f"{memory[2]} MiB") or None if memory else None,
                driver=driver,
                mig_enabled=re.match(r"\n\|[^|\n]*\|[^|\n]*\|\s+Enabled\s*\|", below) is not None,
                driver_model=mode if mode in ("TCC", "WDDM", "MCDM") else (None if windows else "N/A"),
            )
        )
    return cards


def is_from_wsl(text: str) -> bool:
    """Whether the tool is Linux' and the driver is Windows': only in WSL do their numbers differ."""
    table = re.search(r"NVIDIA-SMI\s+([\d.]+)\s.*Driver Version:\s*([\d.]+)\s", text)
    version = re.search(r"^NVIDIA-SMI version\s*:\s*([\d.]+)\s*$[^|]*?^DRIVER version\s*:\s*([\d.]+)\s*$", text, re.M)
    numbers = table or version
    if numbers is None or "WDDM" in text:
        return False
    tool, driver = numbers.groups()
    # One that begins like the other is the other, cut short.
    apart = not tool.startswith(driver) and not driver.startswith(tool)
    return apart and DRIVER.fullmatch(tool) is not None and re.fullmatch(r"\d{3}\.\d{2}", driver) is not None


@dataclass
class _Section:
    """The lines of one card, as ``Product Name`` or ``FB Memory Usage/Total``."""

    values: dict[str, str] = field(default_factory=dict)
    instances: list[dict[str, str]] = field(default_factory=list)


def read_query(text: str) -> list[Card]:
    """The answer to ``-q``."""
    driver = None
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    for line in finished_lines(text):
        indent = len(line) - len(line.lstrip())
        key, mark, value = (part.strip() for part in line.strip().partition(" : "))
        if indent == 0 and key.startswith("GPU ") and not mark:
            sections.append(_Section())
            path = []
        elif key in ("Driver Version", "KMD Version") and indent == 0:
            driver = driver or shaped(DRIVER, value)
        elif sections and key:
            path = [*(step for step in path if step[0] < indent), (indent, key)]
            _note(sections[-1], [name for _, name in path], value if mark else None)
    return [_from_section(section, driver) for section in sections]


def _note(section: _Section, names: list[str], value: str | None) -> None:
    if "MIG Device" in names:
        if names[-1] == "MIG Device":
            section.instances.append({})
        elif value is not None and section.instances:
            section.instances[-1].setdefault("/".join(names[names.index("MIG Device") + 1 :]), value)
    elif value is not None:
        section.values.setdefault("/".join(names), value)


def _from_section(section: _Section, driver: str | None) -> Card:
    values = section.values
    total = mebibytes(values.get("FB Memory Usage/Total"))
    return Card(
        name=known(values.get("Product Name")),
        memory_bytes=total or None,
        memory_free_bytes=free_bytes(mebibytes(values.get("FB Memory Usage/Free")), total),
        driver=driver,
        architecture=known(values.get("Product Architecture")),
        mig_enabled=values.get("MIG Mode/Current") == "Enabled",
        mig=tuple(_instance(instance) for instance in section.instances),
        driver_model=driver_model(values.get("Driver Model/Current")),
    )


def _instance(values: dict[str, str]) -> dict[str, Any]:
    total = mebibytes(values.get("FB Memory Usage/Total"))
    processors = next((value for key, value in values.items() if key.endswith("Multiprocessor count")), "")
    return {
        "memory_bytes": total,
        "memory_free_bytes": free_bytes(mebibytes(values.get("FB Memory Usage/Free")), total),
        "multiprocessors": int(processors) if re.fullmatch(r"\d{1,4}", processors, re.ASCII) else None,
    }


def read_list(text: str) -> list[Card]:
    """The answer to ``-L``: names, and which of the cards are cut into instances."""
    cards: list[Card] = []
    for line in finished_lines(text):
        card = re.fullmatch(r"GPU \d+: (.*?) \(UUID: .*\)", line.strip())
        if card:
            cards.append(Card(name=known(card[1])))
        elif cards and re.match(r"\s+MIG \S+\s+Device\s+\d+:", line):
            instance = {"memory_bytes": None, "memory_free_bytes": None, "multiprocessors": None}
            cards[-1] = Card(name=cards[-1].name, mig_enabled=True, mig=(*cards[-1].mig, instance))
    return cards


def read_version(text: str) -> list[Card]:
    """The answer to ``--version``: the driver, and so at least one card."""
    match = re.search(r"^(?:DRIVER|KMD) version\s*:\s*([\d.]+)\s*\n", text, re.MULTILINE | re.IGNORECASE)
    driver = shaped(DRIVER, match[1] if match else None)
    return [Card(driver=driver)] if driver else []
