"""Where a project comes from: written into it, so that a later run can tell its own files from the user's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaffold import __version__
from scaffold.projects.plan import Plan
from scaffold.projects.template import Template

FILE = ".scaffold.json"


def provenance(
    template: Template, plan: Plan, files: Mapping[str, bytes], *, language: str, chosen: Mapping[str, str]
) -> bytes:
    """The content of `.scaffold.json`: what generated the project, from which choices, and each file's SHA-256."""
    document = {
        "scaffold": __version__,
        "template": template.name,
        "template_version": template.version,
        "target": plan.target,
        "nodes": plan.nodes,
        "lang": language,
        "set": dict(sorted(chosen.items())),
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())},
    }
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # In a value these would read as markers that were not rendered; JSON can say them otherwise.
    return (text.replace("{{", "{\\u007b").replace("{%", "{\\u0025") + "\n").encode()


def generated_hashes(project: Path) -> dict[str, str]:
    """The files that scaffold wrote into a folder and their SHA-256; empty where it wrote none."""
    try:
        document: Any = json.loads((project / FILE).read_text(encoding="utf-8"))
        files = document["files"]
        return {path: digest for path, digest in files.items() if isinstance(digest, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
