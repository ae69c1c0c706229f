"""Runs ONNX models as the reference; the only importer of onnxruntime."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime

from bridge.errors import ToolError
from bridge.types import TensorSpec

ERRORS_ONLY = 3  # onnxruntime's log severity
DTYPES: Mapping[str, str] = MappingProxyType(
    {f"tensor({name})": name for name in ("bool", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")}
    | {"tensor(float)": "float32", "tensor(double)": "float64"}
)


class OnnxRunner:
    """The user's model in onnxruntime, showing every tensor that its nodes write.

    Graph optimisations are off: they would replace the very nodes whose values are asked for, and change the float results by rounding.

    Args:
        model: with its external data inside; not changed.
        threads: threads of one run.
        intermediates: whether `run` also returns what is no model output.

    Raises:
        ToolError: onnxruntime refuses the model.
    """

    def __init__(self, model: onnx.ModelProto, *, threads: int = 1, intermediates: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = ERRORS_ONLY
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        shown = _showing_all(model) if intermediates else model
        try:
            self._session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise ToolError(f"onnxruntime cannot load the model: {_first_line(error)}") from error
        self.tensors = tuple(output.name for output in self._session.get_outputs())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order; a size that the file leaves open is a str."""
        return tuple(
            TensorSpec(value.name, tuple(size if isinstance(size, int) else str(size) for size in value.shape), DTYPES.get(value.type, value.type))
            for value in self._session.get_inputs()
        )

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Every tensor by name, or only those asked for.

        Raises:
            ToolError: a kernel fails or an input does not fit.
        """
        names = list(self.tensors if tensors is None else tensors)
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise ToolError(f"onnxruntime cannot run the model: {_first_line(error)}") from error


def _showing_all(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every tensor that a node of its main graph writes as an output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {value.name for value in shown.graph.output}
    for node in shown.graph.node:
        for name in node.output:
            if name and name not in outputs:
                outputs.add(name)
                shown.graph.output.append(onnx.ValueInfoProto(name=name))
    return shown


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
