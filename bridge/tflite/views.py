"""What a TFLite model holds: its operators, tensors and constants."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge.errors import UnsupportedModelError
from bridge.tflite.names import DTYPES, OP_NAMES, TYPE_NAMES, ModelT, OperatorT, SubGraphT, TensorT


def text(name: bytes | str | None) -> str:
    """A name of the file as str."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def builtin_code(code: Any) -> int:
    """What an entry of `operatorCodes` stands for; codes below 127 stand in the older of its two fields as well."""
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def op_name(model: ModelT, op: OperatorT) -> str:
    """`CONV_2D`, or `CUSTOM:<code>` for a custom op."""
    return _code_name(model.operatorCodes[op.opcodeIndex])


def op_names(model: ModelT) -> list[str]:
    """Those of the main graph's operators, in order, as `op_name` gives them."""
    names = [_code_name(code) for code in model.operatorCodes]
    return [names[op.opcodeIndex] for op in main_graph(model).operators]


def _code_name(code: Any) -> str:
    builtin = builtin_code(code)
    return f"CUSTOM:{text(code.customCode)}" if OP_NAMES[builtin] == "CUSTOM" else OP_NAMES[builtin]


def dtype(tensor: TensorT) -> np.dtype[Any]:
    """NumPy dtype of a tensor's elements.

    Raises:
        UnsupportedModelError: NumPy has none.
    """
    if tensor.type not in DTYPES:
        message = f"The TFLite file has the tensor {text(tensor.name)!r} of type {TYPE_NAMES.get(tensor.type, tensor.type)}, which is not computed with here."
        raise UnsupportedModelError(
            message, hint="Strings, resource variables and packed integers have to stay outside of the file.", causes=["no-tflite-type"]
        )
    return DTYPES[tensor.type]


def shape(tensor: TensorT) -> tuple[int, ...]:
    """Static shape; a scalar has none of its axes."""
    return tuple(np.asarray(tensor.shape).tolist()) if tensor.shape is not None else ()


def is_constant(model: ModelT, tensor: TensorT) -> bool:
    """Whether the file holds the tensor's value."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: ModelT, tensor: TensorT) -> np.ndarray:
    """The value of a constant tensor, in its own dtype and shape; a view, copy to change it.

    Raises:
        ValueError: the tensor has no value in the file.
    """
    if not is_constant(model, tensor):
        raise ValueError(f"tensor {text(tensor.name)!r} is not constant")
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype(tensor)).reshape(shape(tensor))


def integers(model: ModelT, tensor: TensorT) -> np.ndarray:
    """The value of a constant tensor as `constant` gives it, int4 one per int8."""
    if TYPE_NAMES[tensor.type] != "INT4":
        return constant(model, tensor)
    packed: Any = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[: int(np.prod(shape(tensor)))].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).reshape(shape(tensor))


def main_graph(model: ModelT) -> SubGraphT:
    """The subgraph that runs."""
    return model.subgraphs[0]


def named_inputs(model: ModelT) -> Mapping[str, TensorT]:
    """The main graph's inputs in its order, under the names that callers feed: those of its signature, else of the tensors."""
    graph = main_graph(model)
    signature = next((one for one in model.signatureDefs or () if one.subgraphIndex == 0), None)
    named = {int(entry.tensorIndex): text(entry.name) for entry in (signature.inputs if signature is not None else None) or ()}
    return {named.get(int(index), text(graph.tensors[index].name)): graph.tensors[index] for index in graph.inputs}


def operator_names(model: ModelT) -> tuple[str, ...]:
    """A name for each operator of the main graph: that of the first tensor it writes, else its kind and place."""
    graph = main_graph(model)
    return tuple(
        text(graph.tensors[op.outputs[0]].name) if op.outputs is not None and len(op.outputs) else f"{op_name(model, op)}_{place}"
        for place, op in enumerate(graph.operators)
    )


def activations(model: ModelT) -> tuple[int, ...]:
    """Indices of the main graph's tensors that a run computes or is fed: model inputs and operator outputs, in order of computation."""
    graph = main_graph(model)
    written = [index for op in graph.operators for index in op.outputs.tolist() if index >= 0]
    return tuple(dict.fromkeys(graph.inputs.tolist() + written))
