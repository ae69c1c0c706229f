"""Computes before the model runs what does not depend on its inputs, and infers every shape on the way."""

import importlib
import math
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

import onnx_ir as ir
import onnx_ir.passes.common as common
from msgspec import Struct

from bridge.graph.evaluation import compute
from bridge.graph.partial_imports import OPERATORS, import_folding
from bridge.graph.quiet import quiet
from bridge.graph.values import constant_array, new_constant

if TYPE_CHECKING:
    from onnxscript.optimizer._constant_folding import FoldConstantsPass
else:
    FoldConstantsPass = import_folding()  # the public function has no place for what is known already

# A folded tensor replaces its inputs in the file; more growth than this is not worth it.
_MAX_GROWTH_BYTES = 1 << 20
_SEVERAL_OUTPUTS = frozenset({"Split", "TopK"})
_NO_LIMIT = 1 << 62  # `_should_fold` decides
_FOLDED = "bridge.folded"  # what a graph consisted of when nothing was left to fold
# Kept as they are: they carry the ranges of a quantized model.
_QUANTIZATION_OPS = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})


def fold_constants(model: ir.Model) -> None:
    """Folds constants, shape arithmetic, Identity, Dropout, and branches whose condition is known; infers shapes.

    Shapes of all activations are static afterwards unless they depend on data. Where nothing is new since nothing was left to fold, nothing is done.
    """
    if _is_folded(model):
        return
    if not _fold(model):
        model.graph.meta[_FOLDED] = _parts(model.graph)
    while _fold_several_outputs(model.graph):  # shapes behind one may be what the next one splits
        _fold(model)
    for node in model.graph:
        if node.op_type == "Constant" and node.domain == "":  # a model output that is constant; onnx2tf reads only this spelling
            tensor = ir.convenience.get_const_tensor(node.outputs[0])
            if tensor is not None:
                node.attributes.clear()
                node.attributes["value"] = ir.AttrTensor("value", tensor)


class _Folder(FoldConstantsPass):
    """Infers the shapes of a node again only where something about it is new: a model is folded eight times, and that was most of it."""

    seen: ClassVar[WeakKeyDictionary[ir.Node, "_Seen"]] = WeakKeyDictionary()  # each node as it was behind its inference

    @classmethod
    def is_seen(cls, node: ir.Node, opset: int | None) -> bool:
        """Whether the node is as it was behind its last inference; never so of one that has none, a Constant or control flow."""
        return node in cls.seen and cls.seen[node].same(_Seen.of(node, opset))

    def _do_inference(self, node: ir.Node) -> None:
        opset = self._opset_imports.get(node.domain)
        if not self.is_seen(node, opset):
            super()._do_inference(node)
            self.seen[node] = _Seen.of(node, opset)


class _Seen(Struct, frozen=True):
    """What the inferred shapes of a node depend on, and what they are.

    Attributes:
        facts: compared by value.
        objects: attributes and constants, which nobody changes: compared by identity.
    """

    facts: tuple[object, ...]
    objects: tuple[object, ...]

    @classmethod
    def of(cls, node: ir.Node, opset: int | None) -> "_Seen":
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        known = tuple((value.name, value.type, None if value.shape is None else tuple(value.shape)) for value in values)
        facts = (node.op_type, node.domain, node.overload, opset, len(node.inputs), tuple(node.attributes), known)
        return cls(facts, (*node.attributes.values(), *(value.const_value for value in values)))

    def same(self, other: "_Seen") -> bool:
        """Whether inference would say the same again."""
        return self.facts == other.facts and all(mine is theirs for mine, theirs in zip(self.objects, other.objects, strict=True))


def _is_folded(model: ir.Model) -> bool:
    """Whether the last run changed no node, and they are what they were behind it."""
    same = model.graph.meta.get(_FOLDED) == _parts(model.graph)
    return same and all(_Folder.is_seen(node, model.opset_imports.get(node.domain)) for node in model.graph)


def _parts(graph: ir.Graph) -> list[object]:
    return [*graph, *graph.inputs, *graph.outputs, *graph.initializers.values()]


def _fold(model: ir.Model) -> bool:
    """Whether it changed nodes or constants."""
    lift = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
    before = lift(model).modified
    with quiet("onnxscript.optimizer"):  # it warns of every node with several outputs
        fold = _Folder(shape_inference=True, input_size_limit=_NO_LIMIT, output_size_limit=_NO_LIMIT, should_fold=_should_fold)
        folded = fold(model).modified
    return lift(model).modified or folded or before


def _fold_several_outputs(graph: ir.Graph) -> bool:
    """Computes Split and TopK of constants, which onnxscript leaves; Keras cuts the bias of a GRU like this."""
    found = False
    for node in list(graph):
        operands = [constant_array(value) for value in node.inputs]
        known = all(array is not None for array, value in zip(operands, node.inputs, strict=True) if value is not None)
        if node.op_type not in _SEVERAL_OUTPUTS or node.domain != "" or not known or any(output.is_graph_output() for output in node.outputs):
            continue
        for output, array in zip(node.outputs, compute(node, operands), strict=True):
            name, output.name = str(output.name), None
            ir.convenience.replace_all_uses_with(output, new_constant(graph, name, array))
        graph.remove(node, safe=True)
        found = True
    return found


def _should_fold(node: ir.Node) -> bool:
    if node.op_type in _QUANTIZATION_OPS:
        return False
    read = sum(value.const_value.nbytes for value in node.inputs if value is not None and value.const_value is not None)
    written = sum(_bytes(output) for output in node.outputs)
    if written > max(read, _MAX_GROWTH_BYTES):
        return False
    importlib.import_module(OPERATORS)
    return True


def _bytes(value: ir.Value) -> float:
    if value.shape is None or not value.shape.is_static() or value.dtype is None:
        return 0  # the result of a small computation on shapes; a large one has a known shape
    return math.prod(value.shape.numpy()) * value.dtype.itemsize
