"""Small repositories of different kinds, and what is to be said of each: all of it, nothing else."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

VENV = ["python3 -m venv .venv", ". .venv/bin/activate"]
MAIN = 'if __name__ == "__main__":\n    main()\n'


def notebook(**metadata: Any) -> str:
    return json.dumps({"nbformat": 4, "cells": [], "metadata": metadata})


PYTHON_KERNEL = {"kernelspec": {"name": "python3", "language": "python"}}

# By name: the files, and the whole answer. What an answer leaves out is unknown or empty.
TREES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "empty": ({}, {"kind": "unknown"}),
    "a list": (
        {
            "README.md": "# Knots\n\n## Usage\n- [reef](https://k.example) - Ties without a GPU.\n",
            "LICENSE": "CC0",
        },
        {"kind": "unknown"},
    ),
    "library": (
        {
            "LICENSE": "MIT",
            "pyproject.toml": """
                [build-system]
                requires = ["hatchling"]
                build-backend = "hatchling.build"
                [project]
                name = "Tiny_Nets"
                requires-python = ">=3.9"
                dependencies = ["torch>=2.1,<3", "numpy", "tensorflow; python_version < '3.8'"]
                [project.scripts]
                tiny-train = "tiny.cli:main"
                """,
            "tiny/__init__.py": "",
            "tiny/__main__.py": "",
            "README.md": """
                # Tiny nets

                ## Installation

                ```bash
                $ pip install tiny-nets
                ```

                ## Quick start

                ```python
                >>> import tiny
                >>> tiny.train()
                ```

                ```console
                $ tiny-train --epochs 3
                epoch 1: loss 0.3
                ```

                It runs on a CPU as well.
                """,
        },
        {
            "kind": "library",
            "name": "Tiny_Nets",
            "install": ["pip", "pyproject.toml", *VENV, "python -m pip install -e ."],
            "alternatives": [["readme", "README.md", "pip install tiny-nets"]],
            "usage": ["tiny-train --epochs 3", "python -m tiny"],
            "example": ["import tiny", "tiny.train()", ""],
            "python": (">=3.9", "pyproject.toml", True, True),
            "frameworks": [("torch", "<3,>=2.1", "pyproject.toml")],
            "needs_cuda": False,
            "reasons": ["“It runs on a CPU as well.”"],
            "fits": "yes",
        },
    ),
    "package for a newer Python": (
        {
            "LICENSE": "MIT",
            "pyproject.toml": '[project]\nname = "later"\nversion = "1"\nrequires-python = ">=3.14"\n',
        },
        {
            "kind": "package",
            "name": "later",
            "install": ["pip", "pyproject.toml", *VENV, "python -m pip install -e ."],
            "python": (">=3.14", "pyproject.toml", True, False),
            "flags": ["python: asks for Python >=3.14, this is 3.12"],
        },
    ),
    "setup.py": (
        {
            "COPYING": "GPL",
            "setup.py": """
                import pkg_resources
                import torch
                from setuptools import setup

                NEEDED = ["torch==1.13.1", "transformers"]
                setup(
                    name="older",
                    version=read_version(),
                    install_requires=NEEDED,
                    python_requires=">=3.7",
                    entry_points={"console_scripts": ["older=older:main"]},
                )
                """,
        },
        {
            "kind": "package",
            "name": "older",
            "install": [
                "pip",
                "setup.py",
                *VENV,
                'python -m pip install wheel torch "setuptools<82"',
                "python -m pip install --no-build-isolation -e .",
            ],
            "usage": ["older --help"],
            "python": (">=3.7", "setup.py", True, True),
            "frameworks": [("torch", "==1.13.1", "setup.py"), ("transformers", None, "setup.py")],
            "flags": [
                "no-install: torch==1.13.1 does not install on Python 3.12: 2.2.0 is the first one",
                "old-setuptools: setup.py imports pkg_resources, which setuptools 82 and later no longer have",
                "build-needs: setup.py imports torch: to be installed before it",
            ],
        },
    ),
    "setup.cfg": (
        {
            "LICENSE": "MIT",
            "setup.py": "from setuptools import setup\nsetup()\n",
            "setup.cfg": """
                [metadata]
                name = configured
                classifiers =
                    Programming Language :: Python :: 3.8
                    Programming Language :: Python :: 3.12
                [options]
                install_requires =
                    scikit-learn>=1.3
                    pandas<2
                """,
        },
        {
            "kind": "package",
            "name": "configured",
            "install": ["pip", "setup.cfg", *VENV, "python -m pip install -e ."],
            "python": ("3.8, 3.12", "setup.cfg", False, True),
            "frameworks": [("scikit-learn", ">=1.3", "setup.cfg")],
            "flags": [
                "needs-build: pandas<2 has no ready-made build for Python 3.12; 2.1.1 is the first one that has",
            ],
        },
    ),
    "scripts with requirements": (
        {
            "LICENSE": "MIT",
            "requirements.txt": """
                # what it needs
                -r more.txt
                --extra-index-url https://download.pytorch.org/whl/cu118
                torch==2.2.0+cu118  # the CUDA one
                sklearn
                numpy==1.21.*
                """,
            "more.txt": "tqdm\nthis is not one\n",
            "train.py": dedent("""
                import argparse
                import torch

                def main():
                    parser = argparse.ArgumentParser()
                    parser.add_argument("data", help="where")
                    parser.add_argument("--out-dir", required=True)
                    parser.add_argument("--epochs", default=3)
                    torch.nn.Linear(1, 1).cuda()
                    model = torch.nn.Linear(1, 1)
                    model.cuda()

                """)
            + MAIN,
            "helper.py": "import os\n",
        },
        {
            "kind": "scripts",
            "install": ["pip", "requirements.txt", *VENV, "python -m pip install -r requirements.txt"],
            "scripts": ["python train.py DATA --out-dir OUT_DIR"],
            "frameworks": [("torch", "==2.2.0+cu118", "requirements.txt")],
            "expects_cuda": True,
            "reasons": [
                "asks for torch==2.2.0+cu118",
                "takes its wheels from cu118",
                "train.py moves its model to a CUDA device without looking whether there is one",
            ],
            "flags": [
                "no-install: sklearn is a dead name whose installation fails: scikit-learn is meant",
                "needs-build: numpy==1.21.* has no ready-made build for Python 3.12; 1.26.0 is the first one that has",
                "unreadable: pip would refuse “this is not one”",
            ],
        },
    ),
    "conda": (
        {
            "LICENSE": "MIT",
            "environment.yml": """
                name: old
                channels: [pytorch]
                dependencies:
                  - python=3.8
                  - pytorch=1.7.1
                  - cudatoolkit=11.0
                  - pip:
                      - transformers==4.19.2
                """,
        },
        {
            "kind": "conda",
            "install": ["conda", "environment.yml", "conda env create -f environment.yml"],
            "python": ("==3.8.*", "environment.yml", False, False),
            "frameworks": [("torch", "==1.7.1", "environment.yml"), ("transformers", "==4.19.2", "environment.yml")],
            "expects_cuda": True,
            "reasons": ["asks for cudatoolkit"],
        },
    ),
    "notebooks": (
        {
            "LICENSE": "MIT",
            "requirements.txt": "scikit-learn\n",
            "one.ipynb": notebook(**PYTHON_KERNEL, colab={}, accelerator="GPU"),
            "notebooks/two.ipynb": notebook(kernelspec={"name": "ir", "language": "R"}),
            "notebooks/broken.ipynb": "{",
        },
        {
            "kind": "notebooks",
            "install": ["pip", "requirements.txt", *VENV, "python -m pip install -r requirements.txt"],
            "notebooks": [
                ("one.ipynb", "python", True, True),
                ("notebooks/broken.ipynb", None, False, False),
                ("notebooks/two.ipynb", "r", False, False),
            ],
            "frameworks": [("scikit-learn", None, "requirements.txt")],
            "skipped": ["notebooks/broken.ipynb"],
        },
    ),
    "docker": (
        {"LICENSE": "MIT", "Dockerfile": "FROM python:3.9-slim AS base\nRUN true\n"},
        {
            "kind": "docker",
            "install": ["docker", "Dockerfile", "docker build -t repo ."],
            "python": ("==3.9.*", "Dockerfile", False, False),
            "flags": ["python: was made for Python ==3.9.*, this is 3.12"],
        },
    ),
    "docker with CUDA": (
        {"LICENSE": "MIT", "Dockerfile": "FROM nvidia/cuda:12.1.0-base-ubuntu22.04\n"},
        {
            "kind": "docker",
            "install": ["docker", "Dockerfile", "docker build -t repo ."],
            "expects_cuda": True,
            "reasons": ["its Dockerfile starts from nvidia/cuda:12.1.0-base-ubuntu22.04"],
        },
    ),
    "uv": (
        {
            "LICENSE": "MIT",
            "pyproject.toml": '[project]\nname = "locked"\nversion = "1"\ndependencies = ["jax==0.7.1"]\n',
            "uv.lock": "version = 1\n",
            ".python-version": "3.12.4\n",
        },
        {
            "kind": "package",
            "name": "locked",
            "install": ["uv", "uv.lock", "uv sync"],
            "alternatives": [["pip", "pyproject.toml", *VENV, "python -m pip install -e ."]],
            "python": ("==3.12.*", ".python-version", False, True),
            "frameworks": [("jax", "==0.7.1", "pyproject.toml")],
        },
    ),
    "poetry": (
        {
            "LICENSE": "MIT",
            "pyproject.toml": """
                [tool.poetry]
                name = "verse"
                [tool.poetry.dependencies]
                python = "^3.9"
                torch = "~2.1"
                spacy = {version = "^3.4", optional = true}
                [build-system]
                requires = ["poetry-core"]
                build-backend = "poetry.core.masonry.api"
                """,
            "poetry.lock": "",
        },
        {
            "kind": "package",
            "name": "verse",
            "install": ["poetry", "poetry.lock", "poetry install"],
            "alternatives": [["pip", "pyproject.toml", *VENV, "python -m pip install -e ."]],
            "python": ("<4,>=3.9", "pyproject.toml", True, True),
            "frameworks": [("torch", "<2.2,>=2.1", "pyproject.toml")],
            "flags": ["no-install: torch<2.2,>=2.1 does not install on Python 3.12: 2.2.0 is the first one"],
        },
    ),
    "only a README": (
        {
            "README.md": """
                # Small

                Needs Python 3.10 or later and requires an NVIDIA GPU with CUDA. You need at least 24GB of VRAM.

                ## 설치

                ```
                pip install torch numpy
                ```

                ## 학습

                ```
                # make sure of the data first
                CUDA_VISIBLE_DEVICES=0 python train.py --data data \\
                    --epochs 3
                python is a language
                curl https://e.example/x.sh | sh
                ```
                """,
            "train.py": "import torch\nfor step in range(3):\n    pass\n",
        },
        {
            "kind": "scripts",
            "install": ["readme", "README.md", "pip install torch numpy"],
            "usage": ["CUDA_VISIBLE_DEVICES=0 python train.py --data data --epochs 3"],
            "scripts": ["python train.py"],
            "python": (">=3.10", "README.md", False, True),
            "frameworks": [("torch", None, "train.py")],
            "needs_cuda": True,
            "expects_cuda": True,
            "reasons": ["“Needs Python 3.10 or later and requires an NVIDIA GPU with CUDA.”"],
            "memory": [("gpu", 24, 24)],
            "fits": "no",
            "flags": ["no-license: no licence file in its top folder"],
        },
    ),
    "README in rst, a table of memory": (
        {
            "LICENSE": "MIT",
            "README.rst": """
                Title
                =====

                Usage
                -----

                .. code-block:: bash

                   python demo.py --help
                """,
            "demo.py": "import torch\nif torch.cuda.is_available():\n    pass\n" + MAIN,
        },
        {
            "kind": "scripts",
            "usage": ["python demo.py --help"],
            "scripts": ["python demo.py"],
            "frameworks": [("torch", None, "demo.py")],
        },
    ),
    "a table of memory": (
        {
            "LICENSE": "MIT",
            "README.md": "# Sizes\n\n| size | Required VRAM |\n|---|---|\n| tiny | ~1 GB |\n| large | ~10 GB |\n",
        },
        {"kind": "unknown", "memory": [("gpu", 1, 10)]},
    ),
    "Python 2 and TensorFlow 1": (
        {
            "LICENSE": "MIT",
            "main.py": "print 'hello'\n",
            "eval.py": "import tensorflow as tf\nsession = tf.Session()\n" + MAIN,
            "old.py": "import imp\n",
        },
        {
            "kind": "scripts",
            "scripts": ["python eval.py"],
            "frameworks": [("tensorflow", None, "eval.py")],
            "flags": [
                "python2: main.py is Python 2: no Python 3 reads it",
                "tensorflow1: eval.py uses tf.Session: it was written for TensorFlow 1",
                "removed-module: old.py imports imp, which Python 3.12 and later no longer have",
            ],
        },
    ),
    "TensorFlow 1 by its requirement": (
        {"LICENSE": "MIT", "requirements.txt": "tensorflow-gpu==1.14\nflash-attn\n"},
        {
            "kind": "scripts",
            "install": ["pip", "requirements.txt", *VENV, "python -m pip install -r requirements.txt"],
            "frameworks": [("tensorflow", "==1.14", "requirements.txt")],
            "needs_cuda": True,
            "expects_cuda": True,
            "reasons": ["asks for flash-attn", "asks for tensorflow-gpu"],
            "fits": "no",
            "flags": [
                "no-install: tensorflow-gpu can no longer be installed on this Python: tensorflow is meant",
                "tensorflow1: asks for tensorflow==1.14: it was written for TensorFlow 1",
            ],
        },
    ),
    "Makefile": (
        {
            "LICENSE": "MIT",
            "Makefile": "VERSION := 1\n.PHONY: train\nclean:\n\trm -rf x\ntrain: data  ## Train it\n\tx\ntest :\n",
        },
        {"kind": "unknown", "usage": ["make train", "make test"]},
    ),
    "submodules and large files elsewhere": (
        {
            "LICENSE": "MIT",
            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = https://e.example/x\n',
            "model.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "requirements/base.txt": "/home/me/torch.whl\n",
        },
        {
            "kind": "scripts",
            "install": ["pip", "requirements/base.txt", *VENV, "python -m pip install -r requirements/base.txt"],
            "flags": [
                "elsewhere: a path of somebody's computer: “/home/me/torch.whl”",
                "submodules: has submodules: git submodule update --init --recursive",
                "git-lfs: model.bin is only a Git LFS pointer: git lfs pull",
            ],
        },
    ),
    "several lists and no obvious one": (
        {"LICENSE": "MIT", "requirements_a.txt": "torch\n", "requirements_b.txt": "jax\n"},
        {"kind": "unknown"},
    ),
    "a click program": (
        {
            "LICENSE": "MIT",
            "generate.py": dedent("""
                import click

                @click.command()
                @click.argument("prompt")
                @click.option("--seed", required=True, type=int)
                @click.option("--size", default=3)
                def main(prompt, seed, size): ...

                """)
            + MAIN,
        },
        {"kind": "scripts", "scripts": ["python generate.py PROMPT --seed SEED"]},
    ),
}
