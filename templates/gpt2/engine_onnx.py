"""GPT-2 computed by ONNX Runtime from what convert.py has made. It loads in a second, for torch is not needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from decoding import Scores
from folders import Shape

FILE = "model.onnx"
Ids = NDArray[np.int64]


class OnnxEngine:
    """The graph of onnx_graph.py in a file.

    Attributes:
        positions: how many tokens, prompt and new ones together, it can hold.
    """

    def __init__(self, file: Path, shape: Shape, threads: int) -> None:
        self.shape, self.positions = shape, shape.positions
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or threads)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see runtime/settings.py
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def start(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Scores:
        """Read the prompts and score what comes next: [prompts, vocabulary]."""
        longest = max(map(len, rows))
        # Shorter prompts are filled up on the right here: each text goes on at its own length, over what filled it up.
        ids = np.array([list(row) + [0] * (longest - len(row)) for row in rows])
        self._make_room(len(rows), longest + new_tokens)
        self.lengths = np.array([len(row) for row in rows])
        places = np.tile(np.arange(longest), (len(rows), 1))
        return self._run(ids, places, self.lengths[:, None] - 1)[:, 0]

    def step(self, tokens: Sequence[int]) -> Scores:
        """Add one token to each text and score what comes next: [prompts, vocabulary]."""
        places = self.lengths[:, None]
        self.lengths = self.lengths + 1
        return self._run(np.array(tokens)[:, None], places, np.zeros_like(places))[:, 0]

    def score_all(self, row: Sequence[int]) -> Scores:
        """Score what comes next after every token of one text: [tokens, vocabulary]."""
        self._make_room(1, len(row))
        self.lengths = np.array([len(row)])
        places = np.arange(len(row))[None]
        return self._run(np.array([row]), places, places)[0]

    def _make_room(self, batch: int, length: int) -> None:
        """Set aside the place for keys and values, which the graph writes to where it has read from."""
        size = (batch, self.shape.heads, length, self.shape.width // self.shape.heads)
        self.binding = self.session.io_binding()
        self.binding.bind_output("scores")  # first, so that it is the first of the outputs
        for number in range(self.shape.layers):
            for kind in ("key", "value"):
                place = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(size, np.float32))
                self.binding.bind_ortvalue_input(f"past {kind} {number}", place)
                self.binding.bind_ortvalue_output(f"present {kind} {number}", place)

    def _run(self, ids: Ids, places: Ids, wanted: Ids) -> Scores:
        given = {
            "ids": ids,
            "places": places,
            "wanted": wanted[:, :, None],
            "lengths": (self.lengths - 1).astype(np.int32),
            "total": np.array(self.lengths.max(), np.int32),
        }
        for name, value in given.items():
            self.binding.bind_cpu_input(name, np.ascontiguousarray(value))
        self.binding.bind_output("scores")  # anew, for its shape may be another one now
        self.session.run_with_iobinding(self.binding)
        scores: Scores = self.binding.get_outputs()[0].numpy()
        return scores
