"""A trained model on disk: the pipeline (skops) and, beside it, what is needed to use it (JSON).

Pickle and joblib files run whatever code is in them when they are opened. A skops file holds no code: it names the
types to build, and only types on a list are built. So a model from somebody else can't do more than predict badly.
"""

from __future__ import annotations

import hashlib
import json
import platform
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sklearn
import skops
from sklearn.base import BaseEstimator

from columns import Column
from runtime.settings import UserError

# Beyond the types that skops knows to be harmless. Add to this list only what you have read.
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.model_selection._split.KFold",
    }
)
MODEL, INFO, LATEST = "model.skops", "model.json", "latest.txt"
LEVEL = 0.9


@dataclass(frozen=True)
class ModelInfo:
    """What a model predicts, from which columns, and with which versions it was made.

    `weights` is how much each class counts when one is chosen; a higher weight is named at a lower probability.
    `margin` is how far from the truth a predicted number is in `LEVEL` of the cases.
    """

    name: str
    task: str
    target: str
    classes: list[str]
    columns: list[Column]
    versions: dict[str, str]
    weights: list[float]
    margin: float


def versions() -> dict[str, str]:
    """The versions that decide whether a saved model can be opened."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "skops": skops.__version__,
    }


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in place: a reader sees the old file or the new one.

    Raises UserError where it is not permitted: Windows replaces no file that is open.
    """
    staged = path.with_name(f".{path.name}.part")
    try:
        write(staged)
        staged.replace(path)
    except PermissionError:
        raise UserError(f"{path} can't be written; close it where it is open, such as in Excel") from None
    finally:
        staged.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_atomic(path, lambda staged: staged.write_text(text, encoding="utf-8"))


def save(model: BaseEstimator, info: ModelInfo, folder: Path) -> None:
    """Write a fitted model and its description into a folder."""
    import skops.io  # here, because it loads every module of scikit-learn, which takes a second or two

    write_atomic(
        folder / MODEL,
        lambda staged: skops.io.dump(model, staged, compression=zipfile.ZIP_DEFLATED),
    )
    write_json(folder / INFO, asdict(info) | {"sha256": _digest(folder / MODEL)})


def load(folder: Path) -> tuple[BaseEstimator, ModelInfo, list[str]]:
    """Read what `save` wrote, and notes about versions that differ. Raises UserError, also for untrusted types."""
    try:
        fields = json.loads((folder / INFO).read_text(encoding="utf-8"))
        digest = fields.pop("sha256")
        info = ModelInfo(**fields | {"columns": [Column(**column) for column in fields["columns"]]})
    except FileNotFoundError:
        raise UserError(f"{folder} holds no trained model; run python train.py first") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{folder / INFO} is damaged ({error}); run python train.py again") from None
    notes = [
        f"the model was made with {package} {made}, this is {here}: if predictions look wrong, train again"
        for package, here in versions().items()
        if package in ("scikit-learn", "numpy") and (made := info.versions.get(package)) != here
    ]
    path = folder / MODEL
    if not path.exists() or _digest(path) != digest:
        raise UserError(f"{path} is not the file that {INFO} describes; run python train.py again")
    return load_pipeline(path), info, notes


def load_pipeline(path: Path) -> BaseEstimator:
    """Open a skops file, if it names no type beyond those that are trusted."""
    import skops.io

    try:
        unknown = set(skops.io.get_untrusted_types(file=path))
        if unknown - TRUSTED:
            raise UserError(f"{path} holds types that are not trusted: {', '.join(sorted(unknown - TRUSTED))}")
        return skops.io.load(path, trusted=sorted(unknown))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise UserError(f"{path} can't be opened with scikit-learn {sklearn.__version__}: {error}") from None


def latest(runs: Path) -> Path:
    """The folder of the newest training. Raises UserError if there is none."""
    try:
        return runs / (runs / LATEST).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        raise UserError(f"{runs} holds no trained model; run python train.py first") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
