"""The settings in config.toml, as dataclasses. What each one means is written in config.toml and in the README."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.settings import setting
from words import LANGUAGES

BUNDLED = ("breast_cancer", "wine", "digits", "iris", "diabetes")
MODELS = ("auto", "logistic regression", "ridge regression", "SVM", "gradient boosting")
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class DataSettings:
    """Where the table comes from and what is to be predicted."""

    path: str
    target: str
    group: str
    encoding: str
    drop: list
    keep: list
    dataset: str = setting(choices=BUNDLED)
    task: str = setting(choices=TASKS)

    def __post_init__(self) -> None:
        for key in ("drop", "keep"):
            if not all(isinstance(name, str) for name in getattr(self, key)):
                raise ValueError(f'{key} must hold column names, written like ["first", "second"]')


@dataclass(frozen=True)
class ModelSettings:
    """Which model is trained, and its settings; python tune.py writes both."""

    settings: dict
    name: str = setting(choices=MODELS)

    def __post_init__(self) -> None:
        if self.settings and self.name == "auto":
            raise ValueError("settings belong to one model: give its name as well")
        for key, value in self.settings.items():
            if type(value) not in (int, float) or not value > 0:
                raise ValueError(f"settings.{key} must be a number above 0, not {value!r}")


@dataclass(frozen=True)
class TrainSettings:
    """How models are compared, tuned and tested."""

    calibrate: bool
    metric: str = setting(choices=("auto", "accuracy", "balanced_accuracy", "f1_macro"))
    folds: int = setting(minimum=2, maximum=20)
    test_share: float = setting(minimum=0.05, maximum=0.5)
    search_trials: int = setting(minimum=0, maximum=1000)
    search_rows: int = setting(minimum=100)
    svm_rows: int = setting(minimum=0)
    max_categories: int = setting(minimum=2, maximum=1000)
    seed: int = setting(minimum=0, maximum=2**32 - 1)


@dataclass(frozen=True)
class MachineSettings:
    """How much of the machine is used; none of it changes a result."""

    threads: int = setting(minimum=1)
    n_jobs: int = setting(minimum=1)


@dataclass(frozen=True)
class ReportSettings:
    """How results are shown."""

    language: str = setting(choices=LANGUAGES)


@dataclass(frozen=True)
class Config:
    """The whole of config.toml."""

    data: DataSettings
    model: ModelSettings
    train: TrainSettings
    machine: MachineSettings
    report: ReportSettings
