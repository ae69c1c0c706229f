"""Which tensors of a file tell the ranges of all, and the file made so that a run shows them."""

import math
from collections.abc import Container, Iterable, Sequence

import numpy as np
from msgspec import Struct

from bridge.tflite import model as tflite
from bridge.tflite.run_file import RunFile

# The output holds the very values of the first input, so its range is the same.
RANGE_KEEPING_OPS = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE"})

# Minimum and maximum of a tensor this large are taken inside the file: by XNNPACK, while the values are in the processor's cache, and without
# keeping them. MobileNetV2 calibrates in 1.4 instead of 2.0 times the time of plain runs, YOLOX without its 137 MB of activations.
LARGE = 1 << 15

EXTENT_OPS = ("REDUCE_MIN", "REDUCE_MAX")

# From finite inputs these make finite values, or infinite ones, which their extents show, but no NaN, which a minimum may pass over.
NO_NAN_OPS = frozenset(
    {
        "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BATCH_TO_SPACE_ND", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE",
        "DEQUANTIZE", "ELU", "EXPAND_DIMS", "FULLY_CONNECTED", "GATHER", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D",
        "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "PACK", "PAD", "PADV2", "PRELU", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6",
        "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH",
        "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK",
    }
)  # fmt: skip


class Watch(Struct, frozen=True):
    """What to look at in a file.

    Attributes:
        names: name of every float activation.
        source: for each of them the position in `seen` of the tensor that has its values.
        seen: indices of the tensors to look at, model inputs first.
        fed: names of the model inputs among `seen`.
        reduced: for each of `seen` that is no model input, whether the file gives its minimum and its maximum instead of its values.
        exposed: the file with these as its outputs.
        bytes: memory that one running copy needs, about.
        outputs: positions in `seen` of the values of model outputs.
    """

    names: tuple[str, ...]
    source: tuple[int, ...]
    seen: tuple[int, ...]
    fed: tuple[str, ...]
    reduced: tuple[bool, ...]
    exposed: RunFile
    bytes: int
    outputs: tuple[int, ...]

    def read(self, feeds: "dict[str, np.ndarray]", outputs: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """For each tensor of `seen` an array with its extent: its values, or its minimum and maximum; None if one of those is not finite."""
        values = [feeds[name] for name in self.fed]
        remaining = iter(outputs)
        for reduced in self.reduced:
            values.append(np.array((next(remaining), next(remaining))) if reduced else next(remaining))
        extents = [value for value, reduced in zip(values[len(self.fed) :], self.reduced, strict=True) if reduced]
        return values if not extents or np.isfinite(extents).all() else None


def watch(model: tflite.ModelT, *, extents: bool, valued: Container[str] = frozenset()) -> Watch:
    """Finds the float activations, and the fewest tensors that tell the ranges of all.

    Args:
        model: left as it is.
        extents: whether minimum and maximum of a tensor will do where its values are many.
        valued: names of tensors for which they will not.
    """
    graph = tflite.main_graph(model)
    activations = [index for index in tflite.activations(model) if tflite.dtype(graph.tensors[index]).kind == "f"]
    origin = {index: index for index in activations}
    for op in graph.operators:
        source, target = int(op.inputs[0]) if len(op.inputs) else -1, int(op.outputs[0]) if len(op.outputs) else -1
        if tflite.op_name(model, op) in RANGE_KEEPING_OPS and source in origin and target in origin:
            origin[target] = origin[source]
    model_inputs = {int(index) for index in graph.inputs}
    seen = [index for index in activations if origin[index] == index]
    seen.sort(key=lambda index: index not in model_inputs)  # stable: inputs first, then in order of computation
    fed = tuple(tflite.text(graph.tensors[index].name) for index in seen if index in model_inputs)
    kept = {origin[index] for index in activations if tflite.text(graph.tensors[index].name) in valued}
    large = _large_without_nan(model, [index for index in seen[len(fed) :] if index not in kept]) if extents else frozenset()
    held = sum(_size(graph.tensors[index]) for index in activations if origin[index] not in large)
    reduced = tuple(index in large for index in seen[len(fed) :])
    watched = tflite.copied(model) if large else model
    shown = _with_extents(watched, seen[len(fed) :], large) if large else seen[len(fed) :]
    exposed = tflite.expose(watched, shown or graph.outputs)
    place = {index: position for position, index in enumerate(seen)}
    names = tuple(tflite.text(graph.tensors[index].name) for index in activations)
    shown_outputs = tuple(place[origin[int(index)]] for index in graph.outputs if int(index) in origin and origin[int(index)] not in large)
    sources = tuple(place[origin[index]] for index in activations)
    return Watch(names, sources, tuple(seen), fed, reduced, exposed, exposed.size + 4 * held, shown_outputs)


def _size(tensor: tflite.TensorT) -> int:
    return math.prod(tflite.shape(tensor))


def _large_without_nan(model: tflite.ModelT, tensors: Iterable[int]) -> frozenset[int]:
    """Those of the tensors that are large, and that nothing before them can make NaN."""
    graph = tflite.main_graph(model)
    doubtful: set[int] = set()
    for op in graph.operators:
        if tflite.op_name(model, op) not in NO_NAN_OPS or not doubtful.isdisjoint(int(index) for index in op.inputs):
            doubtful.update(int(index) for index in op.outputs)
    return frozenset(index for index in tensors if _size(graph.tensors[index]) >= LARGE and index not in doubtful)


def _with_extents(model: tflite.ModelT, tensors: Sequence[int], large: frozenset[int]) -> list[int]:
    """The outputs that show the tensors, in their order: the tensor, or its minimum and its maximum, which are added to the model.

    They are taken right behind the operator that writes the tensor, so that its values are still at hand and need not be kept for them.
    """
    graph = tflite.main_graph(model)
    axes: dict[int, int] = {}
    extents: dict[int, list[int]] = {}
    operators = []
    for op in graph.operators:
        operators.append(op)
        for index in large.intersection(int(index) for index in op.outputs):
            rank = len(tflite.shape(graph.tensors[index]))
            if rank not in axes:
                buffer = tflite.add_buffer(model, np.arange(rank, dtype=np.int32))
                axes[rank] = tflite.add_tensor(model, graph, f"axes of {rank}", "INT32", (rank,), buffer=buffer)
            extents[index] = [tflite.add_tensor(model, graph, f"{name} {index}", "FLOAT32", ()) for name in EXTENT_OPS]
            operators += [_reduction(model, name, index, axes[rank], out) for name, out in zip(EXTENT_OPS, extents[index], strict=True)]
    graph.operators = operators
    return [output for index in tensors for output in extents.get(index, [index])]


def _reduction(model: tflite.ModelT, name: str, source: int, axes: int, target: int) -> tflite.OperatorT:
    op = tflite.add_op(model, name, 1, [source, axes], [target])
    tflite.set_options(op, "ReducerOptions")
    return op
