"""Models written as ONNX text, normalised, with onnxruntime as the judge of every tensor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
from onnx import numpy_helper

from bridge.types import Graph, NodeFacts, SourceNode, TensorSpec

SEED = 3
WITHOUT_OPTIMIZING = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # its own fusions would hide what ours do


def parse(body: str, *, opset: int, constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A model from `(inputs) => (outputs) { nodes }`."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {body}')
    for name, array in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def session(model: onnx.ModelProto, tensors: list[str]) -> ort.InferenceSession:
    """The model with more of its tensors as outputs."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = WITHOUT_OPTIMIZING
    return ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], tensors: list[str]) -> dict[str, np.ndarray]:
    """The model's outputs and `tensors`, by name."""
    opened = session(model, tensors)
    wanted = {value.name: value.type for value in opened.get_inputs()}
    narrow = {name: array.astype(np.float32) if wanted[name] == "tensor(float)" else array for name, array in feeds.items() if name in wanted}
    return dict(zip([output.name for output in opened.get_outputs()], opened.run(None, narrow), strict=True))


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Agreement of two tensors that hold the same elements, whatever their shape."""
    reference, candidate = (np.asarray(array, np.float64).ravel() for array in (reference, candidate))
    assert reference.size == candidate.size
    noise = float(((reference - candidate) ** 2).sum())
    return float("inf") if noise == 0 else float(10 * np.log10((reference**2).sum() / noise))


def sizes(spec: TensorSpec) -> list[int]:
    """The shape of a tensor that has no free axis."""
    return [int(size) for size in spec.shape]


def constant(value: ir.Value | None) -> np.ndarray:
    """What a constant tensor holds."""
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


@dataclass(frozen=True)
class Normalized:
    """A model before and after."""

    source: onnx.ModelProto
    graph: Graph

    @property
    def ops(self) -> list[str]:
        return [node.op_type for node in self.graph.model.graph]

    def node(self, name: str) -> NodeFacts:
        (found,) = (node for node in self.graph.nodes if node.name == name)
        return found

    def origin(self, name: str) -> SourceNode:
        (found,) = (node for node in self.graph.source_nodes if node.name == name)
        return found

    def feeds(self) -> dict[str, np.ndarray]:
        random = np.random.default_rng(SEED)
        return {
            spec.name: (
                random.standard_normal(sizes(spec)).astype(spec.dtype)
                if spec.dtype.startswith("float")
                else random.integers(0, 2, sizes(spec)).astype(spec.dtype)
            )
            for spec in self.graph.inputs
        }

    def reference(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of the user's model in onnxruntime."""
        return run(self.source, feeds, [])

    @staticmethod
    def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
        """Agreement of two tensors that hold the same elements, whatever their shape."""
        return sqnr_db(reference, candidate)

    def worst_sqnr_db(self, feeds: Mapping[str, np.ndarray] | None = None) -> float:
        """Agreement of the worst of all tensors that `tensor_names` says are the same."""
        given = self.feeds() if feeds is None else feeds
        safe = {user: name for name, user in self.graph.tensor_names.items()}
        candidate_model = ir.to_proto(self.graph.model)
        onnx.checker.check_model(candidate_model)
        computed = {output for node in self.source.graph.node for output in node.output if output}
        shared = {name: user for name, user in self.graph.tensor_names.items() if user in computed}
        reference = run(self.source, given, list(shared.values()))
        candidate = run(candidate_model, {safe[name]: array for name, array in given.items()}, list(shared))
        assert {output.name for output in self.source.graph.output} <= set(reference)
        return min(sqnr_db(reference[user], candidate[name]) for name, user in shared.items())


Normalize = Callable[..., Normalized]
