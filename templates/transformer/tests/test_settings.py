"""config.toml is right, and what is wrong in another is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config import read_config
from runtime.settings import ConfigError

PROJECT_CONFIG = Path(__file__).parent.parent / "config.toml"


@pytest.fixture
def text() -> str:
    return PROJECT_CONFIG.read_text(encoding="utf-8")


def test_the_projects_own_settings_are_valid() -> None:
    assert read_config(PROJECT_CONFIG).train.steps > 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\nd_model =", "\nd_modle =", r"unknown model\.d_modle; the nearest known name is model\.d_model"),
        ("\nsteps =", "\nsteps = 0 #", r"train\.steps must be at least 1, not 0"),
        ("\ndropout =", "\ndropout = 2 #", r"model\.dropout must be at least 0\.0 and at most 0\.9"),
        ("\ndropout =", "\ndropout = nan #", r"model\.dropout must be"),
        ("\npositions =", '\npositions = "none" #', r"model\.positions must be one of sinusoidal, learned"),
        ("\nheads =", "\nheads = 7 #", r"model: d_model \(\d+\) must be even and a multiple of heads"),
        ("[data]", "[date]", r"unknown section date; the nearest known name is section data"),
    ],
)
def test_a_wrong_setting_is_named(text: str, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "config.toml"
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        read_config(path)


def test_the_metric_fits_the_data_unless_it_is_named() -> None:
    config = read_config(PROJECT_CONFIG)
    for metric, file, expected in (("auto", "", "exact"), ("auto", "x", "chrf"), ("bleu", "", "bleu")):
        data = dataclasses.replace(config.data, file=file)
        made = dataclasses.replace(config, data=data, train=dataclasses.replace(config.train, metric=metric))
        assert made.metric == expected


def test_missing_settings_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_config(tmp_path / "config.toml")
