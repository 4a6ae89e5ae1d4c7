"""Predict with the trained model.

`python predict.py FILE.csv` writes FILE.predictions.csv: your rows, the prediction, the probabilities or the range.
`python predict.py --example` shows some held-out rows with prediction and truth.
"""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

import store
from columns import convert
from data import check_names
from model import decide
from runtime.settings import UserError, main_guard
from table import read_table
from words import follow, listed, pad, say, shorten, shown

HERE = Path(__file__).parent
EXAMPLES = 8


def predict(model: BaseEstimator, info: store.ModelInfo, table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Predictions for each row of a table, and notes on what was peculiar.

    With classes, the probability of each; with numbers, the range from low to high that holds the truth in 90 % of
    the cases. Where classes are rare, the class named is not always the most probable one: see model.decide.

    Raises UserError if a column that the model needs is missing.
    """
    needed = [column.name for column in info.columns]
    check_names(needed, table.columns, "the file lacks what the model needs")
    if table.empty:
        raise UserError("the file has a header but no rows")
    features = convert(table, info.columns)
    notes = _peculiar(table, features, info)
    if info.task == "regression":
        value = model.predict(features)
        columns = {"prediction": value, "low": value - info.margin, "high": value + info.margin}
        return pd.DataFrame(columns, index=table.index), notes
    probabilities = model.predict_proba(features)
    labels = np.array(info.classes, dtype=object)[decide(probabilities, np.array(info.weights))]
    columns = {f"probability of {label}": probabilities[:, i] for i, label in enumerate(info.classes)}
    return pd.DataFrame({"prediction": labels, **columns}, index=table.index), notes


def _peculiar(table: pd.DataFrame, features: pd.DataFrame, info: store.ModelInfo) -> list[str]:
    notes = []
    kinds = {"number": say("number"), "date": say("date"), "boolean": say("boolean")}
    for column in info.columns:
        unread = table[column.name].notna() & features[column.features[0]].isna()
        if unread.any():
            shown = f"{unread.sum()} ({shorten(str(table.loc[unread, column.name].iloc[0]))!r})"
            text = "{name}: values that are no {kind} count as missing: {values}"
            notes.append(say(text, name=column.name, kind=kinds.get(column.kind, column.kind), values=shown))
    extra = [name for name in table if name not in {info.target, *(column.name for column in info.columns)}]
    if extra:
        notes.append(say("columns that the model does not use: {names}", names=listed(extra, 10)))
    return notes


def show_examples(predictions: pd.DataFrame, truth: pd.Series) -> None:
    """Print predictions beside the true values."""
    second = "90 % range" if "low" in predictions else "probability"
    outside, wrong = "   <- " + say("outside"), "   <- " + say("wrong")
    print(f"{'prediction':<24} {second:>20}   truth")
    for (_, row), true in zip(predictions.head(EXAMPLES).iterrows(), truth, strict=False):
        if "low" in row:
            mark = "" if row["low"] <= float(true) <= row["high"] else outside
            between = f"{row['low']:.4g} to {row['high']:.4g}"
            print(f"{row['prediction']:<24.4g} {between:>20}   {true}{mark}")
        else:
            mark = "" if row["prediction"] == true else wrong
            probability = row["probability of " + row["prediction"]]
            print(f"{pad(row['prediction'], 24)} {probability:>20.3f}   {true}{mark}")


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line and predict."""
    parser = argparse.ArgumentParser(description="Predict with the trained model.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "file", nargs="?", type=Path, help="a CSV or Parquet file with the columns that the model was trained on"
    )
    source.add_argument("--example", action="store_true", help="show predictions for some held-out rows")
    parser.add_argument("--run", metavar="NAME", help="a folder in runs/ (default: the newest training)")
    parser.add_argument("--output", type=Path, help="where to write (default: FILE.predictions.csv beside FILE)")
    parser.add_argument("--encoding", default="auto", help="the file's encoding (default: found out)")
    arguments = parser.parse_args(argv)

    follow(folder / "config.toml")
    run = folder / "runs" / arguments.run if arguments.run else store.latest(folder / "runs")
    model, info, notes = store.load(run)
    path = run / "test_rows.csv" if arguments.example else arguments.file
    table, more = read_table(path, arguments.encoding)
    predictions, peculiar = predict(model, info, table)
    print(say("Model {name}: predicts {target}", name=info.name, target=info.target))
    for note in [*notes, *more, *peculiar * (not arguments.example)]:
        print(say("note: {note}", note=note))
    if arguments.example:
        show_examples(predictions, table[info.target])
        return 0
    output = arguments.output or path.with_name(f"{path.stem}.predictions.csv")
    if output.exists() and output.samefile(path):
        raise UserError(f"{output} is the file to predict for; give another --output")
    predictions = predictions.rename(columns={name: f"{name} (model)" for name in predictions if name in table})
    # utf-8-sig: without the mark Excel shows 한글 as rubbish.
    store.write_atomic(output, lambda staged: table.join(predictions).to_csv(staged, index=False, encoding="utf-8-sig"))
    print(say("{count} predictions written to {file}", count=len(predictions), file=shown(output)))
    print(predictions.head(5).to_string(float_format="{:.3f}".format))
    return 0


if __name__ == "__main__":
    main_guard(main)
