"""Runs ONNX models as the reference; the only importer of onnxruntime."""

import copy
import math
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as status

from bridge import heap, outside
from bridge.errors import BridgeError, InputError, ToolError, UnsupportedModelError, first_line
from bridge.large_weights import folder_of
from bridge.types import TensorSpec

ERRORS_ONLY = 3  # onnxruntime's log severity
NEWEST_IR_VERSION = 13  # onnxruntime 1.31 loads no newer one, whatever is in the file; newer ones only add what such a file need not use
MAX_PROTO_BYTES = (1 << 31) - 1  # what one protobuf message may hold
KEPT_BYTES = 1 << 24  # weights of a model that onnxruntime reads from memory: it keeps those bytes beside its own copy of the weights
DTYPES: Mapping[str, str] = MappingProxyType(
    {f"tensor({name})": name for name in ("bool", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")}
    | {"tensor(float)": "float32", "tensor(double)": "float64"}
)
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
QUANTIZED_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})

# Whose fault it is, by what onnxruntime raises while it loads a model; its exceptions share no base class.
LOAD_ERRORS: Mapping[type[Exception], type[BridgeError]] = MappingProxyType(
    {
        status.InvalidProtobuf: InputError,
        status.InvalidGraph: InputError,
        status.InvalidArgument: InputError,
        status.NoSuchFile: InputError,
        status.NotImplemented: UnsupportedModelError,
        status.Fail: UnsupportedModelError,
        status.RuntimeException: ToolError,
        RuntimeError: ToolError,
    }
)
RUN_ERRORS: Mapping[type[Exception], type[BridgeError]] = MappingProxyType(
    {
        status.InvalidArgument: InputError,
        status.NotImplemented: UnsupportedModelError,
        status.Fail: ToolError,
        status.RuntimeException: ToolError,
        ValueError: InputError,
        RuntimeError: ToolError,
    }
)


class OnnxRunner:
    """The user's model in onnxruntime, showing every tensor that its nodes write.

    Graph optimisations are off where intermediate tensors are shown: they would replace the very nodes whose values are asked for. Where only
    the outputs are (`outputs_only`) all are on, which is up to ten times as fast; a model with quantization of its own keeps them off, since
    they round differently there.

    Args:
        model: with its external data inside; not changed.
        threads: threads of one run.
        intermediates: whether `run` also returns what is no model output, or the names of what it shall return.

    Raises:
        InputError: the model is malformed.
        UnsupportedModelError: onnxruntime has no kernel for one of its operators.
        ToolError: onnxruntime fails in another way.
    """

    def __init__(self, model: onnx.ModelProto, *, threads: int = 1, intermediates: bool | Collection[str] = True) -> None:
        self._model, self._weights, self._threads, self._intermediates = model, folder_of(model), threads, intermediates
        self._session: onnxruntime.InferenceSession | None = self._opened()
        self._specs = tuple(_spec(value) for value in self._session.get_inputs())
        self.tensors = tuple(value.name for value in self._session.get_outputs() if value.type in DTYPES)

    def _opened(self) -> "onnxruntime.InferenceSession":
        model, intermediates = self._model, self._intermediates
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = ERRORS_ONLY
        options.enable_cpu_mem_arena = not intermediates  # it keeps room for every tensor between the runs, and spares them no time
        levels = onnxruntime.GraphOptimizationLevel
        exact = bool(intermediates) or any(node.op_type in QUANTIZED_OPS for node in model.graph.node)
        options.graph_optimization_level = levels.ORT_DISABLE_ALL if exact else levels.ORT_ENABLE_ALL
        try:
            session = _session(model, _shown(model, intermediates), options)
        except tuple(LOAD_ERRORS) as error:
            raise _translated(error, LOAD_ERRORS)(f"onnxruntime cannot load the model: {first_line(error)}") from error
        if self._weights is not None:
            heap.give_back()  # it packs the weights anew
        return session

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order; a size that the file leaves open is a str."""
        return self._specs

    def release(self, *, idle: bool = False) -> None:
        """Gives back the memory of the session until the next run, where it holds many weights or `idle` says that there is none for a while.

        One that shows every tensor holds 12 kB a node, and is opened in 30 us a node.
        """
        if self._weights is not None or idle:
            with outside.OPENING:  # that onnxruntime lets go of what it has prepared is its work as well
                self._session = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model outputs in the file's order."""
        return tuple(value.name for value in self._model.graph.output)

    def showing(self, tensors: Collection[str], *, threads: int) -> "OnnxRunner":
        """The same model with no other intermediate tensors than these, so that only they stay in memory until a run ends."""
        return self._narrowed(tensors, threads)

    def outputs_only(self, *, threads: int) -> "OnnxRunner":
        """The same model without its intermediate tensors, as fast as onnxruntime runs it."""
        return self._narrowed(False, threads)

    def _narrowed(self, intermediates: Literal[False] | Collection[str], threads: int) -> "OnnxRunner":
        """The same model with fewer tensors shown; its session is opened by the first run, beside whatever is in memory then."""
        self.release()
        if self._intermediates is not True:
            return OnnxRunner(self._model, threads=threads, intermediates=intermediates)
        made = copy.copy(self)
        made._session, made._threads, made._intermediates = None, threads, intermediates
        shown = {*self.outputs, *(intermediates or ())}
        made.tensors = tuple(name for name in self.tensors if name in shown)
        return made

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Every tensor by name, or only those asked for; floats of another width than an input's are cast.

        Raises:
            InputError: an input is missing, or its shape or type does not fit.
            ToolError: a kernel fails.
        """
        names = list(self.tensors if tensors is None else tensors)
        try:
            fitting = self._fitting(feeds)
            session = self._session = self._session or self._opened()
            with outside.INFERENCE:
                found = session.run(names, fitting)
        except tuple(RUN_ERRORS) as error:
            raise _translated(error, RUN_ERRORS)(f"onnxruntime cannot run the model: {first_line(error)}") from error
        return dict(zip(names, found, strict=True))

    def _fitting(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        wanted = {spec.name: spec.dtype for spec in self.inputs if spec.dtype.startswith("float")}
        return {
            name: value.astype(wanted[name], copy=False) if name in wanted and value.dtype.kind == "f" else value for name, value in feeds.items()
        }


def _shown(model: onnx.ModelProto, intermediates: bool | Collection[str]) -> tuple[str, ...]:
    """Every tensor, or every one of those asked for, that a node of the main graph writes and that is no output yet."""
    if intermediates is False:
        return ()
    outputs = {value.name for value in model.graph.output}
    written = (
        name for node in model.graph.node for name in node.output if name and name not in outputs and (intermediates is True or name in intermediates)
    )
    return tuple(dict.fromkeys(written))


def _session(model: onnx.ModelProto, shown: Iterable[str], options: "onnxruntime.SessionOptions") -> "onnxruntime.InferenceSession":
    """A session with the tensors `shown` as further outputs.

    Protobuf joins messages by concatenation: the bytes of a graph with nothing but outputs, behind those of the model, append them. That spares
    a copy of all weights, and onnxruntime infers the types itself. A large model goes through a file.
    """
    further = onnx.ModelProto()
    further.graph.SetInParent()
    further.ir_version = min(model.ir_version, NEWEST_IR_VERSION)  # of a field that is there twice the last one counts
    for name in shown:
        further.graph.output.add().name = name
    providers = ["CPUExecutionProvider"]
    size, folder = _weight_bytes(model), folder_of(model)
    if folder is not None:
        options.add_session_config_entry(WEIGHTS_FOLDER, folder.path)
    if size < KEPT_BYTES or folder is not None:
        content = model.SerializeToString() + further.SerializeToString()
        with outside.OPENING:
            return onnxruntime.InferenceSession(content, options, providers=providers)
    with tempfile.TemporaryDirectory(prefix="bridge-") as name:
        path = Path(name) / "model.onnx"
        if size < MAX_PROTO_BYTES // 2:
            with path.open("wb") as file:
                file.write(model.SerializeToString())
                file.write(further.SerializeToString())
        else:
            whole = onnx.ModelProto()
            whole.CopyFrom(model)
            whole.MergeFrom(further)
            onnx.save_model(whole, path, save_as_external_data=True)
            del whole
        with outside.OPENING:
            return onnxruntime.InferenceSession(path, options, providers=providers)


def _weight_bytes(model: onnx.ModelProto) -> int:
    """About what the weights take; asking protobuf for the size of a message that is too large is an error."""
    return sum(math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize for tensor in model.graph.initializer)


def _spec(value: "onnxruntime.NodeArg") -> TensorSpec:
    return TensorSpec(value.name, tuple(size if isinstance(size, int) else str(size) for size in value.shape), DTYPES.get(value.type, value.type))


def _translated(error: Exception, table: Mapping[type[Exception], type[BridgeError]]) -> type[BridgeError]:
    return next(ours for theirs, ours in table.items() if isinstance(error, theirs))
