"""A small catalog, so that tests of ranking don't change with the real one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from scaffold.discovery.index import open_index

CATALOG = """\
tasks:
  reinforcement-learning:
    title: Reinforcement learning
    title_ko: 강화 학습
    summary: An agent learns from reward.
    synonyms: [rl, 강화학습 에이전트]
    related: [speech-recognition]
    templates: []
  speech-recognition:
    title: Speech recognition
    title_ko: 음성 인식
    summary: Speech to text.
    synonyms: [asr, stt, speech to text]
    related: [reinforcement-learning]
    templates: [transformer]
lists:
  - {repo: one/awesome-rl, title: Awesome RL, description: Reading on agents and reward,
     tasks: [reinforcement-learning], grade: 3}
  - {repo: one/AwesomeSpeech, title: Awesome Speech, description: Papers on speech,
     tasks: [speech-recognition], grade: 3}
  - {repo: one/everything, title: Everything, description: All of it,
     tasks: [speech-recognition, reinforcement-learning], grade: 1}
projects:
  - {repo: gone/gym, title: Gym, description: The old environments, tasks: [reinforcement-learning], grade: 3,
     successor: kept/gymnasium}
  - {repo: kept/gymnasium, title: Gymnasium, description: Environments for agents,
     tasks: [reinforcement-learning], grade: 2,
     language: Python, license: MIT, last_commit: 2026-10-01}
  - {repo: dead/agents, title: Agents, description: Deep agents, tasks: [reinforcement-learning], archived: true,
     grade: 3}
  - {repo: kept/listener, title: Listener, description: 음성인식 엔진 한국어 지원, tasks: [speech-recognition],
     grade: 2, language: C++, license: Apache-2.0, keywords: [whisper]}
  - {repo: kept/diarize, title: Diarize, description: Who speaks when in a recording, tasks: [speech-recognition],
     grade: 2, language: Python, license: MIT, last_commit: 2024-01-01}
"""


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG, encoding="utf-8")
    monkeypatch.setenv("SCAFFOLD_CATALOG", str(path))
    return path


@pytest.fixture
def index(catalog: Path) -> sqlite3.Connection:
    return open_index()
