"""Figures about a finished model: metrics as numbers, and the plots as PNG files."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from sklearn import metrics
from sklearn.base import BaseEstimator

from model import decide
from store import ModelInfo
from words import say, shorten

# Fonts with 한글 that come with Windows, macOS and Linux; any other font with the right glyphs is taken after these.
FONTS = ("Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "NanumGothic", "Noto Sans CJK KR", "Noto Sans KR")
SHOWN_FEATURES = 15
SHOWN_CLASSES = 12  # up to here a confusion matrix has room for its numbers
IMPORTANCE_ROWS, SHUFFLES = 300, 5
IMPORTANCE_CELLS = 150_000  # a wide table takes fewer rows: every column means a prediction of all of it
SCORES = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1_macro": partial(metrics.f1_score, average="macro"),
}


def evaluate(model: BaseEstimator, X: pd.DataFrame, y: np.ndarray, info: ModelInfo) -> dict[str, float]:
    """The metrics of a fitted model on rows it has not seen."""
    if info.task == "regression":
        predicted = model.predict(X)
        return {
            "r2": float(metrics.r2_score(y, predicted)),
            "mae": float(metrics.mean_absolute_error(y, predicted)),
            "rmse": float(metrics.root_mean_squared_error(y, predicted)),
            "within_margin": float((np.abs(y - predicted) <= info.margin).mean()),
        }
    probabilities = model.predict_proba(X)
    predicted = decide(probabilities, np.array(info.weights))
    binary = probabilities.shape[1] == 2
    return {
        **{name: float(score(y, predicted)) for name, score in SCORES.items()},
        "roc_auc": float(metrics.roc_auc_score(y, probabilities[:, 1] if binary else probabilities, multi_class="ovr")),
        "log_loss": float(metrics.log_loss(y, probabilities, labels=range(len(info.classes)))),
    }


def per_class(y: np.ndarray, predicted: np.ndarray, classes: list[str]) -> list[dict[str, Any]]:
    """For each class: of the rows called so, the share that is (precision); of those that are, the share found."""
    precision, recall, _, rows = metrics.precision_recall_fscore_support(
        y, predicted, labels=range(len(classes)), zero_division=0
    )
    return [
        {"class": label, "precision": float(precision[i]), "recall": float(recall[i]), "rows": int(rows[i])}
        for i, label in enumerate(classes)
    ]


def importances(
    model: BaseEstimator, X: pd.DataFrame, y: np.ndarray, metric: str, info: ModelInfo, seed: int
) -> list[tuple[str, float, float]]:
    """How much the metric falls when one feature is shuffled: (feature, mean, standard deviation), largest first."""

    def scores(X: pd.DataFrame) -> np.ndarray:
        if info.task == "regression":
            found, score = model.predict(X), metrics.r2_score
        else:
            found, score = decide(model.predict_proba(X), np.array(info.weights)), SCORES[metric]
        return np.array([score(y, part) for part in np.split(found, len(found) // len(y))])

    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(X))[: max(50, min(IMPORTANCE_ROWS, IMPORTANCE_CELLS // X.shape[1]))]
    X, y = X.iloc[rows], y[rows]
    unshuffled, falls = scores(X), {}
    # All shuffles of a feature in one table: one large prediction is several times quicker than many small ones.
    many = pd.concat([X] * SHUFFLES, ignore_index=True)
    for name in X:
        order = np.concatenate([draw.permutation(len(y)) for _ in range(SHUFFLES)])
        falls[name] = unshuffled - scores(many.assign(**{name: X[name].to_numpy()[order]}))
    ranked = sorted(falls, key=lambda name: -falls[name].mean())
    return [(name, float(falls[name].mean()), float(falls[name].std())) for name in ranked]


def reliability(y: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Rows in groups of like probability: what the model said on average, how often it was so, how many rows.

    With two classes it is the probability of the second one, with more that of the class that is named.
    """
    if probabilities.shape[1] == 2:
        said, came = probabilities[:, 1], y == 1
    else:
        said, came = probabilities.max(axis=1), y == probabilities.argmax(axis=1)
    groups = np.array_split(np.argsort(said, kind="stable"), np.clip(len(y) // 25, 2, 10))
    return pd.DataFrame([{"said": said[rows].mean(), "came": came[rows].mean(), "rows": len(rows)} for rows in groups])


def plot_calibration(y: np.ndarray, probabilities: np.ndarray, classes: list[str], path: Path) -> list[str]:
    """What the model said against what came: on the line, a probability means what it says."""
    found = reliability(y, probabilities)
    # The range in which the true share lies with 95 % (Wilson): with few rows it is wide, and says so.
    z, n, share = 1.96, found.rows, found.came
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    names, font, write, notes = drawable([classes[1]] if len(classes) == 2 else [])
    name = shorten(names[0]) if names else write("the named class")
    with mpl.rc_context(font):
        figure = Figure(figsize=(5.5, 5.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="black", linewidth=1)
        bars = np.maximum([share - centre + half, centre + half - share], 0)
        axes.errorbar(found.said, share, yerr=bars, fmt="o", color="#4878a8", capsize=3)
        axes.set(xlabel=write("probability of {name} (each point: {rows} rows)", name=name, rows=n.max()))
        axes.set(ylabel=write("how often it was so"), title=write("Calibration (line: perfect; held-out rows)"))
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        figure.savefig(path, dpi=120)
    return notes


def plot_importances(ranked: list[tuple[str, float, float]], metric: str, path: Path) -> list[str]:
    """Bars for the most important features. Returns notes on labels that could not be drawn as they are."""
    shown = ranked[:SHOWN_FEATURES][::-1]
    names, font, write, notes = drawable([name for name, _, _ in shown])
    with mpl.rc_context(font):
        figure = Figure(figsize=(7, 1.6 + 0.32 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(range(len(shown)), [mean for _, mean, _ in shown], xerr=[std for _, _, std in shown], color="#4878a8")
        axes.set_yticks(range(len(shown)), [shorten(name) for name in names])
        axes.set_xlabel(write("fall of {metric} when the feature is shuffled (held-out rows)", metric=metric))
        axes.set_title(write("Permutation importance, {shown} of {all} features", shown=len(shown), all=len(ranked)))
        figure.savefig(path, dpi=120)
    return notes


def plot_confusion(y: np.ndarray, predicted: np.ndarray, classes: list[str], path: Path) -> list[str]:
    """True classes against predicted classes, counted on held-out rows."""
    matrix = metrics.confusion_matrix(y, predicted, labels=range(len(classes)))
    names, font, write, notes = drawable(classes)
    size = min(4 + 0.45 * len(classes), 14)
    with mpl.rc_context(font):
        figure = Figure(figsize=(size + 0.8, size), layout="constrained")
        axes = figure.add_subplot()
        # Shades show shares of a row: with counts, a frequent class would outshine all others.
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= SHOWN_CLASSES:
            for (row, column), count in np.ndenumerate(matrix):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color)
        labels = [shorten(name) for name in names]
        axes.set_xticks(range(len(classes)), labels, rotation=45 if sum(map(len, labels)) > 24 else 0)
        axes.set_yticks(range(len(classes)), labels)
        axes.set(xlabel=write("predicted class"), ylabel=write("true class"))
        axes.set_title(write("Confusion matrix (held-out rows)"))
        figure.colorbar(image, ax=axes, label=write("share of the true class"))
        figure.savefig(path, dpi=120)
    return notes


def plot_residuals(y: np.ndarray, predicted: np.ndarray, target: str, margin: float, path: Path) -> list[str]:
    """Predicted against true values, and the error against the prediction: a good model leaves no pattern there."""
    (name,), font, write, notes = drawable([target])
    near = np.abs(y - predicted) <= 10 * margin  # a single row far off would press all others into one line
    left_out = 0 if near.sum() < 2 else int((~near).sum())
    y, predicted = (y[near], predicted[near]) if left_out else (y, predicted)
    with mpl.rc_context(font):
        figure = Figure(figsize=(10, 4.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.scatter(y, predicted, s=14, alpha=0.6, color="#4878a8")
        ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
        left.plot(ends, ends, color="black", linewidth=1)
        left.set(xlabel=write("true {name}", name=name), ylabel=write("predicted {name}", name=name))
        left.set_title(write("Prediction (line: perfect; held-out rows)"))
        right.scatter(predicted, y - predicted, s=14, alpha=0.6, color="#4878a8")
        right.axhline(0, color="black", linewidth=1)
        right.axhspan(-margin, margin, color="#4878a8", alpha=0.12, label=write("90 % are expected here"))
        right.legend(loc="upper left")
        right.set(xlabel=write("predicted {name}", name=name), ylabel=write("true minus predicted"))
        right.set_title(write("Residuals (held-out rows)"))
        if left_out:
            right.set_title(write("Residuals (held-out rows, {count} far off not shown)", count=left_out))
        for axes in (left, right):
            axes.locator_params(axis="x", nbins=5)  # large numbers would run into each other
        figure.savefig(path, dpi=120)
    return notes


def drawable(labels: list[str]) -> tuple[list[str], dict[Any, Any], Callable[..., str], list[str]]:
    """Labels that can be drawn here, the matplotlib settings for it, what writes the rest, and notes on changes.

    matplotlib's own font has no 한글. A font of this computer that has all the characters is used; where there is
    none, 한글 is spelled in Latin letters and the rest is English instead of empty boxes.
    """
    style: dict[Any, Any] = {"text.parse_math": False, "font.family": ["DejaVu Sans"]}  # a $ is just a $
    foreign = set("".join(labels) + say("true class")) - _glyphs(font_manager.findfont("DejaVu Sans"))
    if not foreign:
        return labels, style, say, []
    for name, path in _fonts():
        if foreign <= _glyphs(path):
            return labels, style | {"font.family": ["DejaVu Sans", name]}, say, []
    plain = [spell(label) for label in labels]
    for label, spelled in zip(labels, plain, strict=True):
        if label != spelled:
            text = "no font here can draw {label!r}, so plots spell such names ({spelled}); install NanumGothic"
            return plain, style, str.format, [say(text, label=label, spelled=spelled)]
    return labels, style, str.format, [say("no font here can draw 한글, so plots are in English; install NanumGothic")]


def spell(text: str) -> str:
    """Text with 한글 in Latin letters, syllable by syllable, and other unusual characters as their code."""
    known = _glyphs(font_manager.findfont("DejaVu Sans"))
    return "".join(
        c if c in known else unicodedata.name(c, "").removeprefix("HANGUL SYLLABLE ").lower()
        if "가" <= c <= "힣" else f"U+{ord(c):04X}"
        for c in text
    )  # fmt: skip


def _fonts() -> list[tuple[str, str]]:
    """Names and files of the installed fonts, those known to have 한글 first."""
    found = {font.name: font.fname for font in font_manager.fontManager.ttflist if "Last Resort" not in font.name}
    return sorted(found.items(), key=lambda font: (font[0] not in FONTS, font[0]))


def _glyphs(path: str) -> set[str]:
    try:
        return set(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # a font file that can't be read is no help
        return set()
