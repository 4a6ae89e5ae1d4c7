"""Small tables and settings for the tests; nothing here reads the project's own config.toml or runs/."""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import contextlib
import csv
import io
import random
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import words
from config import Config
from runtime.settings import load_config
from train import main as train

CONFIG = """
[data]
dataset = "breast_cancer"
path = ""
target = ""
group = ""
task = "auto"
encoding = "auto"
drop = []
keep = []

[model]
name = "auto"
settings = {}

[train]
metric = "auto"
folds = 3
test_share = 0.25
search_trials = 2
search_rows = 20000
svm_rows = 3000
max_categories = 20
calibrate = true
seed = 0

[machine]
threads = 1
n_jobs = 1

[report]
language = "en"
"""


@pytest.fixture(autouse=True)
def english() -> None:
    """Each test begins in English, whatever the one before has spoken."""
    words.speak("en")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots stay empty: drawing them is half of a small training's time, and not every test looks at them."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: Path(path).write_bytes(b""))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a config.toml, for runs of the scripts."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


@pytest.fixture
def config(project: Path) -> Config:
    """The settings of `project`."""
    return load_config(project / "config.toml", Config)


def write_csv(path: Path, header: list[str], rows: list[list[object]], encoding: str = "utf-8") -> Path:
    """Write a CSV file and return its path."""
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def customer_rows(count: int = 240) -> tuple[list[str], list[list[object]]]:
    """A table as people have them: 한글, missing values, categories, dates, 1,234 and columns of no use."""
    draw = random.Random(0)
    header = ["고객번호", "이름", "나이", "성별", "도시", "구매액", "가입일", "점포", "국가", "비고", "상태"]
    rows: list[list[object]] = []
    for i in range(count):
        age, amount, city = draw.randint(18, 75), draw.randint(10_000, 900_000), draw.choice(["서울", "부산", "제주"])
        leaves = (age < 40) + (amount < 400_000) + (city == "제주") + draw.random() * 0.5 > 1.6
        rows.append(
            [
                *(1000 + i, f"고객 {i}", age if draw.random() > 0.1 else "", draw.choice("남여"), city),
                *(f"{amount:,}", f"2023-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}"),
                *(f"{draw.randint(1, 40)}호점", "KR", "", "이탈" if leaves else "유지"),
            ]
        )
    return header, rows


def point_rows(count: int = 80) -> tuple[list[str], list[list[object]]]:
    """Points of the plane on two sides of a blurred line: the quickest table that every model can learn."""
    draw = random.Random(0)
    points = [(draw.gauss(0, 1), draw.gauss(0, 1)) for _ in range(count)]
    return ["x", "y", "side"], [[x, y, "left" if x + y + draw.gauss(0, 0.7) < 0 else "right"] for x, y in points]


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """The customer table as a CSV file."""
    return write_csv(tmp_path / "고객 목록.csv", *customer_rows())


@dataclass(frozen=True)
class Trained:
    """A project after its trainings, and what they printed."""

    folder: Path
    printed: str

    def copy_of(self, name: str, folder: Path) -> Path:
        """Another project with a copy of one of the models, to do with it what the others must not see."""
        run = folder / "runs" / name
        run.mkdir(parents=True)
        for path in (self.folder / "runs" / name).iterdir():
            (run / path.name).write_bytes(path.read_bytes())
        (folder / "runs" / "latest.txt").write_text(name, encoding="utf-8")
        return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A project with a model of a number and, the newest, one of the customer table; a warning there is an error."""
    folder = tmp_path_factory.mktemp("내 프로젝트")
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    path = write_csv(folder / "고객.csv", *customer_rows())
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("error")
        for arguments in (["--dataset", "diabetes"], ["--data", str(path)]):
            assert train(arguments, folder) == 0
    return Trained(folder, printed.getvalue())
