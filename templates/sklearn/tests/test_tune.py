"""The search: better settings, the same after an interruption, no look at the test rows."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import point_rows, write_csv

import tune
from config import Config
from prepare import Prepared, prepare
from runtime import extras
from runtime.settings import UserError, load_config
from train import main as train

pytest.importorskip("optuna", reason="python tune.py needs optuna")


def trials(project: Path) -> list[tuple[object, ...]]:
    """What the only study of a project has tried."""
    import optuna

    storage = f"sqlite:///{project / 'runs' / 'tuning.db'}"
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    return [(trial.state.name, trial.params, trial.intermediate_values) for trial in tune.finished(study)]


def copy_of(project: Path, name: str) -> Path:
    """Another project with the same settings."""
    other = project / name
    other.mkdir()
    (other / "config.toml").write_text((project / "config.toml").read_text("utf-8"), encoding="utf-8")
    return other


# A process that dies while it computes a certain fold, as with kill -9 or when the power goes.
DIES = """
import os, signal, sys
from pathlib import Path
import tune
fold_scores, calls = tune.fold_scores, []
def dies(*arguments):
    calls.append(arguments)
    if len(calls) == int(sys.argv[1]):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return fold_scores(*arguments)
tune.STARTUP, tune.fold_scores = 3, dies
tune.main(sys.argv[3:], Path(sys.argv[2]))
"""


def dies(fold: int, project: Path, *arguments: str) -> None:
    """Search until the process kills itself in the `fold`-th fold that it computes."""
    command = [sys.executable, "-c", DIES, str(fold), str(project), *arguments]
    ended = subprocess.run(command, cwd=Path(tune.__file__).parent, capture_output=True, text=True)
    assert ended.returncode in (-9, 15), ended.stderr


def test_going_on_is_like_never_stopping(
    project: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(tune, "STARTUP", 3)
    whole, parts = copy_of(project, "whole"), copy_of(project, "parts")
    data = ["--data", str(write_csv(project / "points.csv", *point_rows()))]
    assert tune.main([*data, "--trials", "9"], whole) == 0
    request.getfixturevalue("undrawn")
    dies(2, parts, *data, "--trials", "9")  # the first trial, in its second fold
    assert trials(parts) == []
    assert tune.main([*data, "--trials", "4"], parts) == 0

    def stopped(*arguments: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tune, "score", stopped)
        assert tune.main([*data, "--trials", "9"], parts) == 130
    # Folds side by side change nothing either.
    text = (parts / "config.toml").read_text("utf-8").replace("n_jobs = 1", "n_jobs = 3")
    (parts / "config.toml").write_text(text, encoding="utf-8")
    assert tune.main([*data, "--trials", "9"], parts) == 0
    assert trials(parts) == trials(whole)
    assert len(trials(whole)) == 9
    assert any(state == "PRUNED" and len(scores) == 2 for state, _, scores in trials(whole))
    assert (whole / "runs" / "points" / "tuning.png").stat().st_size > 5000


@pytest.mark.usefixtures("undrawn")
def test_the_best_settings_are_trained_with(project: Path, capsys: pytest.CaptureFixture) -> None:
    header, rows = point_rows()
    path = write_csv(project / '고객 "1".csv', [*header[:2], "상태"], rows)
    before = (project / "config.toml").read_text("utf-8")
    assert tune.main(["--data", str(path), "--target", "상태", "--trials", "5"], project) == 0
    assert (project / "config.toml").read_text("utf-8") == before
    tuned = project / "runs" / '고객 "1"' / "tuned.toml"
    written = tomllib.loads(tuned.read_text("utf-8"))
    assert written["data"] | {"path": str(path), "target": "상태"} == written["data"]
    assert written["train"] == tomllib.loads(before)["train"]
    done = [(values[max(values)], params["model"]) for state, params, values in trials(project) if state == "COMPLETE"]
    assert written["model"]["name"] == max(done)[1]
    assert f"{max(done)[1]}, accuracy {max(done)[0]:.4f} ±" in capsys.readouterr().out
    assert train(["--config", str(tuned)], project) == 0
    printed = capsys.readouterr().out
    assert written["model"]["name"] in printed
    assert "Tuning" not in printed


@pytest.mark.usefixtures("undrawn")
def test_the_held_out_rows_are_not_looked_at(project: Path) -> None:
    header, rows = point_rows()
    text = (project / "config.toml").read_text("utf-8").replace('name = "auto"', 'name = "SVM"')
    (project / "config.toml").write_text(text, encoding="utf-8")
    first, second = copy_of(project, "first"), copy_of(project, "second")
    assert tune.main(["--data", str(write_csv(first / "a.csv", header, rows)), "--trials", "5"], first) == 0
    for row in prepare(load_config(first / "runs" / "a" / "tuned.toml", Config), first).test:
        rows[row][:2] = "9999", ""
    assert tune.main(["--data", str(write_csv(second / "a.csv", header, rows)), "--trials", "5"], second) == 0
    assert trials(first) == trials(second)


def test_a_search_belongs_to_its_data_and_settings(project: Path, config: Config) -> None:
    ready = prepare(config, project)

    def name(ready: Prepared, config: Config) -> str:
        return tune.open_study(ready, config, project / "runs").study_name

    others = [
        *(
            (ready, replace(config, train=replace(config.train, **{key: 4})))
            for key in ("seed", "folds", "max_categories")
        ),
        (ready, replace(config, model=replace(config.model, name="SVM"))),
        *((replace(ready, **change), config) for change in ({"X": ready.X * 2}, {"y": 1 - ready.y})),
        *((replace(ready, **change), config) for change in ({"groups": ready.y}, {"metric": "f1_macro"})),
    ]
    assert name(ready, config) == name(ready, config)
    assert len({name(ready, config), *(name(*other) for other in others)}) == 1 + len(others)


@pytest.mark.parametrize("damaged", [True, False])
def test_a_search_that_cannot_be_opened_is_explained(project: Path, damaged: bool) -> None:
    path = project / "runs" / "tuning.db"
    path.parent.mkdir()
    if damaged:
        path.write_bytes(b"this was a database once" * 99)
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"tuning\.db can't be opened.* move it away"):
        tune.main(["--dataset", "iris", "--trials", "1"], project)


def test_the_trials_may_lie_on_another_drive_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def relpath(path: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    assert tune._from_here(tmp_path / "tuning.db") == str(tmp_path / "tuning.db")


def test_a_settings_file_of_another_shape_is_explained(project: Path) -> None:
    text = (project / "config.toml").read_text("utf-8")
    path = project / "other.toml"
    path.write_text(text.replace('[model]\nname = "auto"\nsettings = {}', "").replace("[data]", "model = {}\n[data]"))
    with pytest.raises(UserError, match=r"model\.name"):
        tune.main(["--dataset", "iris", "--trials", "1", "--config", str(path)], project)


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "pyproject.toml"
    listed.write_text('[project]\noptional-dependencies = {a = ["nothing-there>=3", "more<2"]}\n', encoding="utf-8")
    monkeypatch.setattr(extras, "PROJECT", listed)
    with pytest.raises(
        UserError, match=r'python tune\.py needs nothing-there.* pip install "nothing-there>=3" "more<2"'
    ):
        extras.need("nothing-there", "python tune.py")
    listed.unlink()
    with pytest.raises(UserError, match='pip install "other"'):
        extras.need("other", "python tune.py")
