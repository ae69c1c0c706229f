"""Models written as ONNX text, and what the recognisers make of them."""

import re
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest
from recognition import Outcome, Recognise

from bridge.graph import provenance
from bridge.graph.patterns import recognise

SEED = 5


def _run(model: onnx.ModelProto, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # its own fusions would hide what ours do
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feed)))


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
