"""GPT-2 written down once more, as a graph for ONNX Runtime, with its matrices in 8 bits or as they are.

A converter that follows torch's code makes a graph of small steps. This one is written by hand, in the large steps that
ONNX Runtime has kernels for; its keys and values stay where they are from token to token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from folders import Shape

Array = NDArray[np.float32]
BLOCK = 128  # so many weights of a row share one scale: what is large in one place spoils no other
MATRICES = {"attn.c_attn": (1, 3), "attn.c_proj": (1, 1), "mlp.c_fc": (1, 4), "mlp.c_proj": (4, 1)}
GELU = {"gelu_new": "FastGelu", "gelu_pytorch_tanh": "FastGelu", "gelu": "BiasGelu"}
MICROSOFT = "com.microsoft"  # where ONNX Runtime's own operators live
OPSET = 20


class Graph:
    """Collects the nodes and weights of a GPT-2."""

    def __init__(self, weights: dict[str, Array], shape: Shape, *, eight_bits: bool) -> None:
        self.weights, self.shape, self.eight_bits = weights, shape, eight_bits
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, kind: str, inputs: list[str], outputs: list[str], *, own: bool = True, **settings: object) -> str:
        """Add an operator, one of ONNX Runtime's own or of the standard; returns the name of its first output."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=MICROSOFT if own else "", **settings))
        return outputs[0]

    def constant(self, name: str, value: NDArray[np.generic] | None = None) -> str:
        """Add a weight (or another array) under its name."""
        array = self.weights[name] if value is None else value
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def matrix(self, x: str, name: str, matrix: Array) -> str:
        """x times matrix [in, out]."""
        if not self.eight_bits:
            return self.node("MatMul", [x, self.constant(name, matrix)], [f"{name} out"], own=False)
        numbers, scales = eight_bits(matrix)
        inputs = [x, self.constant(name, numbers), self.constant(f"{name} scales", scales)]
        settings = {"K": len(matrix), "N": matrix.shape[1], "bits": 8, "block_size": BLOCK}
        # accuracy_level 4: the numbers of x are brought to 8 bits as well, block by block, while it computes.
        return self.node("MatMulNBits", inputs, [f"{name} out"], accuracy_level=4, **settings)

    def norm(self, x: str, rest: str, name: str, bias: list[str]) -> tuple[str, str]:
        """(the layer norm `name` of x + rest + bias, that sum itself)."""
        inputs = [x, rest, self.constant(f"{name}.weight"), self.constant(f"{name}.bias"), *bias]
        outputs = [f"{name} out", "", "", f"{name} sum"]
        self.node("SkipLayerNormalization", inputs, outputs, epsilon=self.shape.epsilon)
        return outputs[0], outputs[3]

    def layer(self, number: int, x: str, rest: str) -> tuple[str, str]:
        """One layer, from its first norm's output and the sum so far to the same for the next one."""
        name, last = f"h.{number}", number + 1 == self.shape.layers
        attention, after, inner, outer = (f"{name}.{part}" for part in MATRICES)
        made = self.matrix(x, attention, self.weights[f"{attention}.weight"])
        made = self.node("Add", [made, self.constant(f"{attention}.bias")], [f"{attention} sum"], own=False)
        cache = [f"past {kind} {number}" for kind in ("key", "value")]
        kept = [f"present {kind} {number}" for kind in ("key", "value")]
        heads = {"num_heads": self.shape.heads, "kv_num_heads": self.shape.heads}
        inputs = [made, "", "", *cache, "lengths", "total"]
        looked = self.node("GroupQueryAttention", inputs, [f"{name} looked", *kept], **heads)
        looked = self.matrix(looked, after, self.weights[f"{after}.weight"])
        x, rest = self.norm(looked, rest, f"{name}.ln_2", [self.constant(f"{after}.bias")])
        x = self.matrix(x, inner, self.weights[f"{inner}.weight"])
        x = self.node(GELU[self.shape.activation], [x, self.constant(f"{inner}.bias")], [f"{inner} active"])
        x = self.matrix(x, outer, self.weights[f"{outer}.weight"])
        following = "ln_f" if last else f"h.{number + 1}.ln_1"
        return self.norm(x, rest, following, [self.constant(f"{outer}.bias")])

    def build(self) -> onnx.ModelProto:
        """The whole model: token ids in, scores out, and the keys and values of every layer in and out."""
        embedding = self.weights["wte.weight"]
        tokens = self.node("Gather", [self.constant("wte.weight"), "ids"], ["tokens"], own=False)
        places = self.node("Gather", [self.constant("wpe.weight"), "places"], ["positions"], own=False)
        x, rest = self.norm(tokens, places, "h.0.ln_1", [])
        for number in range(self.shape.layers):
            x, rest = self.layer(number, x, rest)
        x = self.node("GatherND", [x, "wanted"], ["wanted out"], own=False, batch_dims=1)
        head = self.weights.get("lm_head.weight", embedding)
        self.nodes[-1].output[0] = "wanted out"
        self.matrix(x, "head", head.T)
        self.nodes[-1].output[0] = "scores"
        graph = helper.make_graph(self.nodes, "gpt2", self._inputs(), self._outputs(len(head)), self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="onnx_graph.py")

    def _cache(self, when: str) -> list[onnx.ValueInfoProto]:
        size = ["batch", self.shape.heads, "room", self.shape.width // self.shape.heads]
        names = [f"{when} {kind} {number}" for number in range(self.shape.layers) for kind in ("key", "value")]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in names]

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        given = {
            "ids": (TensorProto.INT64, ["batch", "tokens"]),
            "places": (TensorProto.INT64, ["batch", "tokens"]),
            "wanted": (TensorProto.INT64, ["batch", "answers", 1]),  # after which tokens scores are wanted
            "lengths": (TensorProto.INT32, ["batch"]),  # how many tokens each text has now, less one
            "total": (TensorProto.INT32, []),  # how many the longest has
        }
        return [helper.make_tensor_value_info(name, *kind) for name, kind in given.items()] + self._cache("past")

    def _outputs(self, vocabulary: int) -> list[onnx.ValueInfoProto]:
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "answers", vocabulary])
        return [scores, *self._cache("present")]


def eight_bits(matrix: Array) -> tuple[NDArray[np.uint8], Array]:
    """(numbers [out, blocks, BLOCK], scales [out, blocks]): matrix [in, out] is about (numbers - 128) × scales."""
    rows = np.ascontiguousarray(matrix.T)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % BLOCK))).reshape(len(rows), -1, BLOCK)
    scales = np.abs(rows).max(axis=2) / 127
    scales[scales == 0] = 1
    numbers = np.rint(rows / scales[:, :, None]) + 128
    return numbers.astype(np.uint8), scales


def write_graph(file: Path, weights: dict[str, Array], shape: Shape, *, eight_bits: bool) -> None:
    """Write the graph, and its weights beside it into a file that ONNX Runtime looks at without reading all of it."""
    model = Graph(weights, shape, eight_bits=eight_bits).build()
    onnx.save_model(model, file, save_as_external_data=True, location=f"{file.stem}.weights", size_threshold=4096)
