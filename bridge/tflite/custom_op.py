"""Puts CUSTOM operators between an output and an input of a TFLite file that stand for what they read and write."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.tflite import model as tflite


class Port(Struct, frozen=True):
    """What a CUSTOM operator reads.

    Attributes:
        tensor: index in the main graph, None for a constant.
        permutation: axes of that tensor in the order of the operator's.
        shape: what the operator gets.
        constant: the value of a constant, None for a tensor.
    """

    tensor: int | None
    permutation: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    constant: np.ndarray | None = None


class CustomNode(Struct, frozen=True):
    """A CUSTOM operator to be written.

    Attributes:
        code: its name in the file.
        name: of the node, for the tensors that are added.
        options: written as a flexbuffer map.
        inputs: None for one that is left out.
        outputs: tensor indices.
    """

    code: str
    name: str
    options: Mapping[str, object]
    inputs: tuple[Port | None, ...]
    outputs: tuple[int, ...]


def insert(model: tflite.ModelT, nodes: Sequence[CustomNode]) -> None:
    """Adds the operators in place and sorts all by what they read; inputs and outputs of the graph stay as they are."""
    main = tflite.main_graph(model)
    for node in nodes:
        inputs = [-1 if port is None else _read(model, node, position, port) for position, port in enumerate(node.inputs)]
        main.operators.append(tflite.custom_op(model, node.code, inputs, node.outputs, node.options))
    main.operators = _sorted(main, {output for node in nodes for output in node.outputs})


def _read(model: tflite.ModelT, node: CustomNode, position: int, port: Port) -> int:
    """The tensor that the operator reads: the port's own, or one behind a TRANSPOSE and a RESHAPE."""
    main = tflite.main_graph(model)
    name = f"{node.name}/input_{position}"
    if port.tensor is None:
        value = np.asarray(port.constant)
        return tflite.add_tensor(model, main, name, tflite.TYPES[value.dtype.name], value.shape, buffer=tflite.add_buffer(model, value))
    tensor = main.tensors[port.tensor]
    kind, index, shape = tflite.TYPE_NAMES[tensor.type], port.tensor, tflite.shape(tensor)
    moved = tuple(shape[axis] for axis in port.permutation)
    if port.permutation != tuple(range(len(shape))):
        order = _constant(model, f"{name}/permutation", port.permutation)
        target = tflite.add_tensor(model, main, f"{name}/transposed", kind, moved)
        main.operators.append(tflite.add_op(model, "TRANSPOSE", 1, [index, order], [target]))
        index = target
    if moved != port.shape:
        sizes = _constant(model, f"{name}/shape", port.shape)
        target = tflite.add_tensor(model, main, f"{name}/reshaped", kind, port.shape)
        reshape = tflite.add_op(model, "RESHAPE", 1, [index, sizes], [target])
        tflite.set_options(reshape, "ReshapeOptions", newShape=np.asarray(port.shape, np.int32))
        main.operators.append(reshape)
        index = target
    return index


def _constant(model: tflite.ModelT, name: str, values: Sequence[int]) -> int:
    array = np.asarray(values, np.int32)
    return tflite.add_tensor(model, tflite.main_graph(model), name, "INT32", array.shape, buffer=tflite.add_buffer(model, array))


def _sorted(main: tflite.SubGraphT, written: set[int]) -> list[tflite.OperatorT]:
    """Operators in an order in which each reads only what is there, else as before; `written` are tensors that no longer come from outside."""
    producers = {int(tensor) for op in main.operators for tensor in op.outputs} | written
    done: set[int] = set()
    order: list[tflite.OperatorT] = []
    waiting = list(main.operators)
    while waiting:
        ready = next(op for op in waiting if all(int(tensor) not in producers or int(tensor) in done for tensor in op.inputs))
        waiting.remove(ready)
        order.append(ready)
        done.update(int(tensor) for tensor in ready.outputs)
    return order
