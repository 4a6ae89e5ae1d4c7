"""The service answers like predict.py, and says what is wrong with a request."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Trained

import store
from predict import predict
from table import read_table

pytest.importorskip("fastapi", reason="python serve.py needs fastapi")
pytest.importorskip("httpx2", reason="the tests of serve.py need httpx2")

import serve


@pytest.fixture
def project(trained: Trained) -> Path:
    """A project with a model of the customer table and one of numbers."""
    return trained.folder


def client(run: Path) -> Any:
    """Talks to the service of a model, without a network."""
    from fastapi.testclient import TestClient

    return TestClient(serve.create_app(run))


def ask_example(run: Path) -> Any:
    """The request that train.py has left beside the model, as curl sends it."""
    content = (run / "example.json").read_bytes()
    return client(run).post("/predict", content=content, headers={"content-type": "application/json"})


def test_the_example_is_answered_like_a_file(project: Path) -> None:
    run = project / "runs" / "고객"
    answered = ask_example(run)
    assert answered.status_code == 200
    model, info, _ = store.load(run)
    expected, _ = predict(model, info, read_table(run / "test_rows.csv")[0].head(2))
    for answer, (_, row) in zip(answered.json()["predictions"], expected.iterrows(), strict=True):
        assert answer["prediction"] == row["prediction"]
        for label, share in answer["probabilities"].items():
            assert share == pytest.approx(row[f"probability of {label}"], abs=1e-12)


def test_the_command_to_try_works_with_a_blank_in_the_name(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project / "runs" / "고객", tmp_path / "runs" / "새 고객")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve, "answer_requests", lambda *_: None)  # it would not end
    serve.main(["--run", "새 고객"], tmp_path)
    request = shlex.split(capsys.readouterr().out.splitlines()[-1])[-1]
    assert Path(request.removeprefix("@")).is_file()


def test_numbers_have_a_range(project: Path) -> None:
    answer, _ = ask_example(project / "runs" / "diabetes").json()["predictions"]
    assert answer["low"] < answer["prediction"] < answer["high"]


def test_types_of_json_are_those_of_a_file(project: Path) -> None:
    as_text = serve.as_table([{"a": "1,234", "b": "예", "c": "", "d": "x"}])
    as_json = serve.as_table([{"a": "1,234", "b": "예", "c": None, "d": "x"}, {"a": 3, "b": True, "c": 1.5, "d": "NA"}])
    pd.testing.assert_frame_equal(as_text, as_json.head(1))
    assert as_json.iloc[1].tolist()[:3] == ["3", "true", "1.5"]
    assert pd.isna(as_json.loc[1, "d"])


def test_what_the_model_is(project: Path) -> None:
    described = client(project / "runs" / "고객").get("/").json()
    assert described["classes"] == ["유지", "이탈"]
    assert {"name": "나이", "kind": "number"} in described["columns"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"rows": []}, 422, "at least 1"),
        ({"rows": [{"나이": 3}] * 1001}, 422, "at most 1000"),
        ({"rows": [{"나이대": 3}]}, 422, "nearest: 나이대"),
        ({"rows": [{"나이": [3]}]}, 422, "valid"),
        ({"nothing": 1}, 422, "required"),
        ({"rows": [{"나이": "x" * 5_000_000}]}, 413, "content-length"),
    ],
)
def test_bad_requests_are_explained(project: Path, body: dict[str, Any], status: int, message: str) -> None:
    answered = client(project / "runs" / "고객").post("/predict", json=body)
    assert answered.status_code == status
    assert message in json.dumps(answered.json(), ensure_ascii=False)
