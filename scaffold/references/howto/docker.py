"""The Dockerfile: what it starts from."""

from __future__ import annotations

import re

from scaffold.references.howto.files import Folder, is_plain

_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)?([\w./:@-]{1,200})", re.MULTILINE | re.IGNORECASE)


def docker_file(folder: Folder) -> str | None:
    """The Dockerfile in the top folder, or the first `Dockerfile.*` where none is the plain one."""
    if folder.has("Dockerfile"):
        return "Dockerfile"
    return next((name for name in folder.files() if re.fullmatch(r"Dockerfile\.\w+", name) and is_plain(name)), None)


def base_images(folder: Folder) -> list[tuple[str, str]]:
    """The images that it starts from, each with the file."""
    path = docker_file(folder)
    text = folder.text(path) if path else None
    return [(path, image) for image in _FROM.findall(text)[:8]] if path and text else []
