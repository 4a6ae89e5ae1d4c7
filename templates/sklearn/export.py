"""The trained model as an ONNX file, for programs that have no scikit-learn: `python export.py`.

ONNX is a list of small operations on arrays that runs in C++, Java, JavaScript or a phone. The general converter does
not know these pipelines (missing values, rare categories, calibration), so the few operations are written out here:
reading them is also a way to see what the model computes. Afterwards the file is loaded again, and must give the same
answers as the model on the held-out rows; otherwise it is not kept.
"""

from __future__ import annotations

import threads  # noqa: F401  first of all: it limits the threads of what is imported below

# isort: split
import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR

import store
from columns import convert
from model import MISSING_TEXT
from runtime.extras import need
from runtime.settings import UserError, main_guard
from table import read_table
from words import follow, say, shown

HERE = Path(__file__).parent
ONNX = "model.onnx"
OPSETS = {"": 18, "ai.onnx.ml": 3}
# Trees add up single-precision numbers there: the sixth digit may differ.
TOLERANCE = 1e-5


class Graph:
    """Operations in the order in which they run. Each method takes and returns names of arrays."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """A fixed array; fractions are kept in double precision."""
        import onnx

        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operation: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """One operation; an array among the inputs becomes a constant. Returns the name of the result."""
        import onnx

        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        result = f"{operation.lower()}_{len(self.nodes)}"
        domain = "ai.onnx.ml" if operation in ("LabelEncoder", "TreeEnsembleRegressor") else ""
        self.nodes.append(onnx.helper.make_node(operation, names, [result], domain=domain, **attributes))
        return result


def prepared_features(graph: Graph, transformer: ColumnTransformer) -> str:
    """The preprocessing: one array with all features as the model wants them."""
    import onnx

    parts = []
    for name, pipeline, columns in transformer.transformers_:
        if name == "number":
            imputer, scaler = pipeline
            raw = graph.add("Concat", *columns, axis=1)
            missing = graph.add("IsNaN", raw)
            filled = graph.add("Where", missing, imputer.statistics_, raw)
            if imputer.indicator_.features_.size:
                marks = graph.add("Cast", missing, to=onnx.TensorProto.DOUBLE)
                filled = graph.add(
                    "Concat", filled, graph.add("Gather", marks, imputer.indicator_.features_, axis=1), axis=1
                )
            parts.append(graph.add("Div", graph.add("Sub", filled, scaler.mean_), scaler.scale_))
        elif name != "remainder":
            parts.append(looked_up(graph, pipeline, columns))
    return graph.add("Concat", *parts, axis=1)


def looked_up(graph: Graph, pipeline: Pipeline, columns: list[str]) -> str:
    """Categories: for each column a table from text to the numbers that scikit-learn makes of it."""
    known = [list(map(str, values)) for values in pipeline[1].categories_]
    never_seen = "\0never seen"
    first = dict(zip(columns, (values[0] for values in known), strict=True))
    reference = pipeline.transform(pd.DataFrame([first], dtype=object))
    # The columns don't influence each other, so each adds its difference to the numbers of the reference row.
    total = graph.constant(reference)
    for column, values in zip(columns, known, strict=True):
        rows = pd.DataFrame([first | {column: value} for value in [*values, never_seen]], dtype=object)
        table = pipeline.transform(rows) - reference
        numbers = list(range(len(values)))
        row = graph.add("LabelEncoder", column, keys_strings=values, values_int64s=numbers, default_int64=len(values))
        flat = graph.add("Reshape", row, np.array([-1]))
        total = graph.add("Add", total, graph.add("Gather", table, flat, axis=0))
    return total


def raw_answer(graph: Graph, features: str, model: BaseEstimator) -> str:
    """What the model says before it becomes a probability: a column for each class, or one for two classes."""
    if isinstance(model, TransformedTargetRegressor):
        scaler = model.transformer_
        answer = raw_answer(graph, features, model.regressor_)
        return graph.add("Add", graph.add("Mul", answer, scaler.scale_), scaler.mean_)
    if isinstance(model, (LogisticRegression, Ridge)):
        product = graph.add("MatMul", features, np.atleast_2d(model.coef_).T)
        return graph.add("Add", product, np.atleast_1d(model.intercept_))
    if isinstance(model, (SVC, SVR)):
        return support_vectors(graph, features, model)
    return trees(graph, features, model)


def support_vectors(graph: Graph, features: str, model: SVC | SVR) -> str:
    """How near each row is to each support vector, weighed."""
    # exp(-gamma · distance²), with distance² = |x|² - 2 x·s + |s|²
    square = graph.add("ReduceSum", graph.add("Mul", features, features), np.array([1]), keepdims=1)
    product = graph.add("MatMul", features, -2 * model.support_vectors_.T)
    distance = graph.add("Add", graph.add("Add", square, product), (model.support_vectors_**2).sum(axis=1))
    near = graph.add("Exp", graph.add("Mul", distance, np.array(-model._gamma)))
    if isinstance(model, SVR) or len(model.classes_) == 2:
        return graph.add("Add", graph.add("MatMul", near, model.dual_coef_.T), model.intercept_)
    # One decision for each pair of classes; a class is as good as its won pairs, ties are broken by how clearly.
    classes, ends = len(model.classes_), np.cumsum([0, *model.n_support_])
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    weights, first, second = (np.zeros((rows, len(pairs))) for rows in (ends[-1], classes, classes))
    for pair, (i, j) in enumerate(pairs):
        weights[ends[i] : ends[i + 1], pair] = model.dual_coef_[j - 1, ends[i] : ends[i + 1]]
        weights[ends[j] : ends[j + 1], pair] = model.dual_coef_[i, ends[j] : ends[j + 1]]
        first[i, pair] = second[j, pair] = 1
    decisions = graph.add("Add", graph.add("MatMul", near, weights), model.intercept_)
    lost = graph.add("Where", graph.add("Less", decisions, np.array(0.0)), np.array(1.0), np.array(0.0))
    votes = graph.add("Add", graph.add("MatMul", lost, (second - first).T), first.sum(axis=1))
    clear = graph.add("MatMul", decisions, (first - second).T)
    bound = graph.add("Mul", graph.add("Add", graph.add("Abs", clear), np.array(1.0)), np.array(3.0))
    return graph.add("Add", votes, graph.add("Div", clear, bound))


def trees(graph: Graph, features: str, model: BaseEstimator) -> str:
    """Boosted trees: each leaf adds its value to the answer for one class."""
    import onnx

    nodes: dict[str, list[Any]] = {
        key: [] for key in ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "values")
    }
    leaves: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    each_round = [predictor for predictors in model._predictors for predictor in enumerate(predictors)]
    for number, (target, tree) in enumerate(each_round):
        for position, node in enumerate(tree.nodes):
            leaf = bool(node["is_leaf"])
            values = (
                *(number, position, 0 if leaf else int(node["feature_idx"]), "LEAF" if leaf else "BRANCH_LEQ"),
                *((0, 0, 0.0) if leaf else (int(node["left"]), int(node["right"]), float(node["num_threshold"]))),
            )
            for key, value in zip(nodes, values, strict=True):
                nodes[key].append(value)
            if leaf:
                for key, value in zip(leaves, (number, position, target, float(node["value"])), strict=True):
                    leaves[key].append(value)
    thresholds = onnx.numpy_helper.from_array(np.array(nodes.pop("values")), "thresholds")
    added = onnx.numpy_helper.from_array(np.array(leaves.pop("weights")), "added")
    summed = graph.add(
        "TreeEnsembleRegressor",
        features,
        n_targets=len(model._predictors[0]),
        nodes_values_as_tensor=thresholds,
        target_weights_as_tensor=added,
        **{f"nodes_{key}": value for key, value in nodes.items()},
        **{f"target_{key}": value for key, value in leaves.items()},
    )
    double = graph.add("Cast", summed, to=onnx.TensorProto.DOUBLE)
    return graph.add("Add", double, np.ravel(model._baseline_prediction))


def probabilities(graph: Graph, answer: str, model: BaseEstimator, calibration: Any) -> str:
    """The answer as a probability for each class."""
    binary = len(model.classes_) == 2
    if calibration is None:
        return two_columns(graph, graph.add("Sigmoid", answer)) if binary else graph.add("Softmax", answer, axis=1)
    if calibration.method == "temperature":
        beta = np.array(calibration.calibrators[0].beta_)
        # Of a model without a decision function it takes the logarithms of the probabilities.
        if not hasattr(model, "decision_function"):
            answer = graph.add("Log", graph.add("Add", graph.add("Softmax", answer, axis=1), np.array(1e-12)))
        return graph.add("Softmax", graph.add("Mul", answer, beta), axis=1)
    slopes, shifts = (np.array([getattr(curve, key) for curve in calibration.calibrators]) for key in ("a_", "b_"))
    curve = graph.add("Sigmoid", graph.add("Neg", graph.add("Add", graph.add("Mul", answer, slopes), shifts)))
    if binary:
        return two_columns(graph, curve)
    return graph.add("Div", curve, graph.add("ReduceSum", curve, np.array([1]), keepdims=1))


def two_columns(graph: Graph, second: str) -> str:
    """With two classes, what is missing to 1 belongs to the first."""
    return graph.add("Concat", graph.add("Sub", np.array(1.0), second), second, axis=1)


def to_onnx(model: BaseEstimator, info: store.ModelInfo) -> Any:
    """The whole model as ONNX: an input for each feature, and `probabilities` or `prediction` as its output."""
    import onnx

    pipeline, calibration = model, None
    if isinstance(model, CalibratedClassifierCV):
        calibration = model.calibrated_classifiers_[0]
        pipeline = calibration.estimator
    graph = Graph()
    texts = {column.name for column in info.columns if column.kind in ("category", "many")}
    names = [feature for column in info.columns for feature in column.features]
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.STRING if name in texts else onnx.TensorProto.DOUBLE, ["rows", 1]
        )
        for name in names
    ]
    estimator = pipeline["model"]
    answer = raw_answer(graph, prepared_features(graph, pipeline["preprocessing"]), estimator)
    if info.classes:
        answer = probabilities(graph, answer, estimator, calibration)
    output = "probabilities" if info.classes else "prediction"
    graph.nodes.append(onnx.helper.make_node("Identity", [answer], [output]))
    described = [onnx.helper.make_tensor_value_info(output, onnx.TensorProto.DOUBLE, ["rows", None])]
    whole = onnx.helper.make_graph(graph.nodes, "model", inputs, described, graph.constants)
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    made = onnx.helper.make_model(whole, opset_imports=opsets, ir_version=9, producer_name="export.py")
    facts = {"target": info.target, "classes": info.classes, "weights": info.weights, "missing_text": MISSING_TEXT}
    onnx.helper.set_model_props(made, {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()})
    return made


def run(content: bytes, features: pd.DataFrame) -> np.ndarray:
    """The answers of an ONNX model, as any program would get them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feeds = {
        entry.name: features[[entry.name]].fillna(MISSING_TEXT).to_numpy(object)
        if entry.type == "tensor(string)"
        else features[[entry.name]].to_numpy(float)
        for entry in session.get_inputs()
    }
    return session.run(None, feeds)[0]


def difference(content: bytes, model: BaseEstimator, features: pd.DataFrame) -> float:
    """How far the answers of an ONNX model are from the model's: the largest, for numbers in shares of their range."""
    found = run(content, features)
    if hasattr(model, "predict_proba"):
        return float(np.abs(found - model.predict_proba(features)).max())
    expected = model.predict(features)
    return float(np.abs(found[:, 0] - expected).max() / max(np.abs(expected).max(), 1e-12))


def main(argv: list[str] | None = None, folder: Path = HERE) -> int:
    """Read the command line, export, and compare."""
    parser = argparse.ArgumentParser(description="Write the trained model as ONNX and check that it answers the same.")
    parser.add_argument("--run", metavar="NAME", help="a folder in runs/ (default: the newest training)")
    arguments = parser.parse_args(argv)
    for module in ("onnx", "onnxruntime"):
        need(module, "python export.py")
    follow(folder / "config.toml")
    where = folder / "runs" / arguments.run if arguments.run else store.latest(folder / "runs")
    model, info, notes = store.load(where)
    for note in notes:
        print(say("note: {note}", note=note))
    content = to_onnx(model, info).SerializeToString()
    rows, _ = read_table(where / "test_rows.csv")
    apart = difference(content, model, convert(rows, info.columns))
    if not apart <= TOLERANCE:
        raise UserError(f"the ONNX model answers differently (by {apart:.2g}), so it was not kept")
    store.write_atomic(where / ONNX, lambda staged: staged.write_bytes(content))
    text = "{file}: {size:.0f} kB, the same answers on {rows} held-out rows (largest difference {apart:.1g})"
    print(say(text, file=shown(where / ONNX), size=len(content) / 1e3, rows=len(rows), apart=apart))
    print(say("onnxruntime reads it from Python, C++, Java, C# or in a browser."))
    return 0


if __name__ == "__main__":
    main_guard(main)
