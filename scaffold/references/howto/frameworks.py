"""What a repository builds on: from what it declares, else from what its scripts import."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scaffold.references.howto.model import Framework
from scaffold.references.howto.requirements import Needed

_MAX_FRAMEWORKS = 8
# Distribution names by what they are called in an answer, the ones that say most first.
_FRAMEWORKS = {
    "torch": "torch",
    "tensorflow": "tensorflow",
    "tensorflow-gpu": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "tensorflow-macos": "tensorflow",
    "tf-nightly": "tensorflow",
    "jax": "jax",
    "jaxlib": "jax",
    "flax": "flax",
    "keras": "keras",
    "paddlepaddle": "paddlepaddle",
    "paddlepaddle-gpu": "paddlepaddle",
    "mxnet": "mxnet",
    "mlx": "mlx",
    "transformers": "transformers",
    "diffusers": "diffusers",
    "pytorch-lightning": "pytorch-lightning",
    "lightning": "pytorch-lightning",
    "vllm": "vllm",
    "ultralytics": "ultralytics",
    "detectron2": "detectron2",
    "sentence-transformers": "sentence-transformers",
    "langchain": "langchain",
    "llama-index": "llama-index",
    "scikit-learn": "scikit-learn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "spacy": "spacy",
    "onnxruntime": "onnxruntime",
    "onnxruntime-gpu": "onnxruntime",
    "gymnasium": "gymnasium",
    "gym": "gym",
    "stable-baselines3": "stable-baselines3",
}
# Modules that are called otherwise than their distribution.
_MODULES = {
    "sklearn": "scikit-learn",
    "paddle": "paddlepaddle",
    "pytorch_lightning": "pytorch-lightning",
    "sentence_transformers": "sentence-transformers",
    "llama_index": "llama-index",
    "stable_baselines3": "stable-baselines3",
}
_ORDER = {name: place for place, name in enumerate(dict.fromkeys(_FRAMEWORKS.values()))}


def find_frameworks(
    needed: list[Needed],
    images: list[tuple[str, str]],
    imports: Mapping[str, str],
    quoted: list[Needed],
    own: str | None,
) -> tuple[Framework, ...]:
    """The known frameworks among the requirements, or among the imports where no requirement is one.

    Args:
        needed: what is declared; the first mention of a name counts.
        images: what its Dockerfile starts from, with the file.
        imports: modules that the scripts import, with the file.
        quoted: what its README installs, of which some may be optional.
        own: the repository's own distribution name, which it does not build on.
    """
    found = _declared(needed, own)
    for source, image in images:
        match = re.match(r"(?:[\w.-]+/)*(pytorch|tensorflow)(?::(\d+\.\d+))?", image)
        if match and not found:
            name = {"pytorch": "torch"}.get(match[1], match[1])
            # Others number their images by the month.
            own_tag = match[2] and image.startswith((f"{match[1]}/", "docker.io/"))
            found[name] = Framework(name, f"=={match[2]}.*" if own_tag else None, source)
    if not found:
        for module, source in imports.items():
            distribution = _MODULES.get(module, module)
            known = _FRAMEWORKS.get(distribution)
            if known and distribution != own:
                found.setdefault(known, Framework(known, None, source))
    return _sorted(found, _declared(quoted, own))


def _sorted(found: dict[str, Framework], said: dict[str, Framework]) -> tuple[Framework, ...]:
    """What was found and what the README says, the framework that says most first."""
    if found:
        # A version is meant, a bare name may be optional.
        said = {name: told for name, told in said.items() if told.wanted}
        found = {**said, **{name: told for name, told in found.items() if told.wanted or name not in said}}
    else:
        found = said
    return tuple(sorted(found.values(), key=lambda item: _ORDER[item.name])[:_MAX_FRAMEWORKS])


def _declared(needed: list[Needed], own: str | None) -> dict[str, Framework]:
    found: dict[str, Framework] = {}
    for item in needed:
        name = _FRAMEWORKS.get(item.name)
        if name and item.name != own and (name not in found or not found[name].wanted):
            found[name] = Framework(name, str(item.wanted) or None, item.source)
    return found
