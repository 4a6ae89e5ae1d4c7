"""The trained model as a small web service: `python serve.py`, then send rows to /predict.

It listens on this computer only, unless you say otherwise, and asks nobody for a password: put it behind something
that does before others can reach it.
"""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import argparse
from pathlib import Path
from typing import Any

import pandas as pd

import store
from predict import predict
from runtime.service import answer_requests, curl, new_app, read_arguments
from runtime.settings import UserError, main_guard
from table import clean
from words import follow, say, shown

HERE = Path(__file__).parent
MOST_ROWS = 1000
MOST_BYTES = 5_000_000


def as_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of JSON as the table of text that a CSV file would give; a key that a row lacks is a missing value there."""
    texts = [
        {
            key: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in row.items()
        }
        for row in rows
    ]
    table = pd.DataFrame(texts, dtype=object).fillna("")
    return pd.DataFrame({name: clean(table[name]) for name in table}, index=range(len(rows)))


def answers(predictions: pd.DataFrame, info: store.ModelInfo) -> list[dict[str, Any]]:
    """One answer for each row, ready for JSON."""
    if info.task == "regression":
        return [{key: float(value) for key, value in row.items()} for row in predictions.to_dict("records")]
    return [
        {
            "prediction": row["prediction"],
            "probabilities": {label: float(row[f"probability of {label}"]) for label in info.classes},
        }
        for row in predictions.to_dict("records")
    ]


def create_app(run: Path) -> Any:
    """The service for the model in a folder. Raises UserError if there is none."""
    from fastapi import HTTPException
    from pydantic import BaseModel, Field

    model, info, _ = store.load(run)

    class Rows(BaseModel):
        """What is asked: rows as in the CSV file, column name to value; null for a missing one."""

        rows: list[dict[str, str | bool | int | float | None]] = Field(min_length=1, max_length=MOST_ROWS)

    app = new_app(f"{info.target} ({info.name})", MOST_BYTES)

    @app.get("/")
    def describe() -> dict[str, Any]:
        columns = [{"name": column.name, "kind": column.kind} for column in info.columns]
        return {"target": info.target, "task": info.task, "classes": info.classes, "columns": columns}

    def answer(asked: Rows) -> dict[str, Any]:
        try:
            predictions, notes = predict(model, info, as_table(asked.rows))
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        return {"predictions": answers(predictions, info), "notes": notes}

    # FastAPI reads these types while it runs, and `Rows` is known only in here.
    answer.__annotations__ = {"asked": Rows, "return": dict[str, Any]}
    app.post("/predict")(answer)
    return app


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer requests with the trained model.")
    parser.add_argument("--run", metavar="NAME", help="a folder in runs/ (default: the newest training)")
    arguments = read_arguments(parser, argv)
    follow(folder / "config.toml")
    run = folder / "runs" / arguments.run if arguments.run else store.latest(folder / "runs")
    app = create_app(run)
    address = f"http://{arguments.host}:{arguments.port}"
    text = "Model {name}, at {address} (Ctrl-C ends it). Try in another terminal:"
    print(say(text, name=run.name, address=address))
    example = shown(run / "example.json").strip('"')
    print(f'  {curl()} {address}/predict -H "content-type: application/json" -d "@{example}"', flush=True)
    answer_requests(app, arguments.host, arguments.port)
    return 0


if __name__ == "__main__":
    main_guard(main)
