"""Models written as ONNX text, what the recognisers make of them, and onnxruntime as the judge of the numbers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest

from bridge.graph import provenance
from bridge.graph.patterns import recognise

SEED = 5


@dataclass(frozen=True)
class Outcome:
    """A model after recognition, and its outputs before and after."""

    model: ir.Model
    before: list[np.ndarray]
    after: list[np.ndarray]

    @property
    def ops(self) -> list[str]:
        return [node.op_type for node in self.model.graph]

    @property
    def marks(self) -> dict[str, str | None]:
        """Pattern by name of the (first) tensor that a node writes."""
        return {str(node.outputs[0].name): provenance.pattern(node) for node in self.model.graph}

    def marked(self, pattern: str) -> set[str]:
        return {name for name, mark in self.marks.items() if mark == pattern}

    def node(self, op_type: str) -> ir.Node:
        (found,) = (node for node in self.model.graph if node.op_type == op_type)
        return found

    @property
    def snr_db(self) -> float:
        """Agreement of the worst output."""
        return min(_snr_db(reference, candidate) for reference, candidate in zip(self.before, self.after, strict=True))


def _snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    noise = float(((reference - candidate) ** 2).sum())
    return float("inf") if noise == 0.0 else float(10 * np.log10((reference**2).sum() / noise))


def _run(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # its own fusions would hide what ours do
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, dict(feed))


Recognise = Callable[..., Outcome]


@pytest.fixture
def recognised() -> Recognise:
    def build(
        body: str,
        constants: Mapping[str, object] | None = None,
        *,
        inputs: str = "float[2,6,8] x",
        outputs: str | None = None,
        opset: int = 20,
        feed: Mapping[str, np.ndarray] | None = None,
    ) -> Outcome:
        outputs = outputs or re.sub(r"\bx\b", "y", inputs.split(", ")[0])
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}')
        for name, value in (constants or {}).items():
            if re.search(rf"\b{name}\b", body):
                array = np.asarray(value)
                proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32) if array.dtype == np.float64 else array, name))
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
        onnx.checker.check_model(proto, full_check=True)
        feed = feed or {value.name: _random(value) for value in proto.graph.input}
        before = _run(proto, feed)
        model = ir.from_proto(proto)
        for node in model.graph:
            node.name = f"make_{node.outputs[0].name}"
            provenance.stamp(node, node.name)
        recognise(model)
        after = ir.to_proto(model)
        onnx.checker.check_model(after, full_check=True)
        return Outcome(model, before, _run(after, feed))

    return build


def _random(value: onnx.ValueInfoProto) -> np.ndarray:
    generator = np.random.default_rng(SEED)
    kind = value.type.tensor_type
    shape = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type == onnx.TensorProto.BOOL:
        return generator.random(shape) < 0.7
    return generator.normal(0.3, 1.5, shape).astype(np.float32)
