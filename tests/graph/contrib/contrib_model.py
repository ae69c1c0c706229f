"""Models of one contrib operator, and how far the normalised model is from onnxruntime's own kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper
from onnx_text import run

from bridge.graph import normalize
from bridge.types import Graph, SourceModel

AGREEMENT = 1e-5  # of the largest value: the order of float32 sums
OPSET = 17


@dataclass(frozen=True)
class Case:
    """One operator with its operands; a tuple is the shape of random floats, None an input that is left out."""

    op_type: str
    operands: Sequence[tuple[int, ...] | np.ndarray | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Sequence[int] = ()  # operands that are initializers
    outputs: Sequence[int | None] = (TensorProto.FLOAT,)  # type of each, None for one that is left out
    domain: str = "com.microsoft"
    opset: int = OPSET

    def __str__(self) -> str:
        return f"{self.op_type}-{'-'.join(f'{key}={value}' for key, value in self.attributes.items())}"


def arrays(case: Case, seed: int = 0) -> dict[str, np.ndarray]:
    """Operand name -> array."""
    random = np.random.default_rng(seed)
    return {
        f"x{index}": random.standard_normal(given).astype(np.float32) if isinstance(given, tuple) else given
        for index, given in enumerate(case.operands)
        if given is not None
    }


def build(case: Case, given: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model; where every operand is a constant, a Neg beside it gives it an input."""
    constants = [f"x{index}" for index in case.constants]
    names = [f"x{index}" if operand is not None else "" for index, operand in enumerate(case.operands)]
    written = ["" if kind is None else f"y{index}" for index, kind in enumerate(case.outputs)]
    node = helper.make_node(case.op_type, names, written, name="n", domain=case.domain, **case.attributes)
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
        if name not in constants
    ]
    ends = [helper.make_tensor_value_info(f"y{index}", kind, None) for index, kind in enumerate(case.outputs) if kind is not None]
    initializers = [numpy_helper.from_array(given[name], name) for name in constants]
    graph = helper.make_graph([node], "g", values, ends, initializers)
    opsets = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def normalized(case: Case) -> tuple[onnx.ModelProto, Graph]:
    """The operator's model before and after."""
    model = build(case, arrays(case))
    return model, normalize(SourceModel(proto=model, digest="d"), input_shapes={})


def run_graph(graph: Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of the normalised model in onnxruntime."""
    safe = {user: name for name, user in graph.tensor_names.items()}
    model = ir.to_proto(graph.model)
    onnx.checker.check_model(model, full_check=True)
    found = run(model, {safe[name]: array for name, array in feeds.items() if name in safe}, [])
    return [found[output.name] for output in model.graph.output]


def worst(expected: Sequence[np.ndarray], received: Sequence[np.ndarray]) -> float:
    """Largest difference over the largest value of each output."""
    errors = []
    for reference, candidate in zip(expected, received, strict=True):
        assert reference.shape == candidate.shape
        scale = max(1.0, float(np.abs(reference.astype(np.float64)).max(initial=0.0)))
        errors.append(float(np.abs(reference.astype(np.float64) - candidate).max(initial=0.0)) / scale)
    return max(errors)


def difference(case: Case) -> float:
    """How far the normalised model is from the operator's kernel in onnxruntime."""
    given = arrays(case)
    model, graph = normalized(case)
    assert {node.domain for node in graph.model.graph} <= {""}
    assert all(source.status in ("kept", "fused") for source in graph.source_nodes)
    feeds = {value.name: given[value.name] for value in model.graph.input}
    expected = run(model, feeds, [])
    return worst([expected[output.name] for output in model.graph.output], run_graph(graph, feeds))
