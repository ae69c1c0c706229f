"""Computes before the model runs what does not depend on its inputs, and infers every shape on the way."""

import importlib
import math
import operator
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
_LOOKED_AT = 20  # elements of a constant that inference is told
_PLAIN_ATTRIBUTES = frozenset(
    {
        ir.AttributeType.FLOAT,
        ir.AttributeType.FLOATS,
        ir.AttributeType.INT,
        ir.AttributeType.INTS,
        ir.AttributeType.STRING,
        ir.AttributeType.STRINGS,
    }
)
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
    """Infers the shapes of a node again only where something about it is new: a model is folded eight times, and that was most of it.

    Nodes that differ in nothing but names have the same shapes: those are inferred once.
    """

    seen: ClassVar[WeakKeyDictionary[ir.Node, "_Seen"]] = WeakKeyDictionary()  # each node as it was behind its inference

    @classmethod
    def is_seen(cls, node: ir.Node, opset: int | None) -> bool:
        """Whether the node is as it was behind its last inference; never so of one that has none, a Constant or control flow."""
        before = cls.seen.get(node)
        return before is not None and before.same(_Seen.of(node, opset))

    def _do_inference(self, node: ir.Node) -> None:
        opset = self._opset_imports.get(node.domain)
        if self.is_seen(node, opset):
            return
        question = _question(node, opset)
        answers = self.__dict__.setdefault("_answers", {})
        if question is None or question not in answers:
            super()._do_inference(node)
            if question is not None and all(type(output.type) is ir.TensorType for output in node.outputs):
                answers[question] = [(None if output.shape is None else output.shape.copy(), output.type) for output in node.outputs]
        else:
            for output, (shape, kind) in zip(node.outputs, answers[question], strict=True):
                output.shape = None if shape is None else shape.copy()
                output.type = ir.TensorType(kind.dtype, denotation=kind.denotation)
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
        known = [(value.name, value.type, None if value.shape is None else value.shape.dims) for value in values]
        attributes = node.attributes.data
        facts = (node.op_type, node.domain, node.overload, opset, len(node.inputs), tuple(attributes), known)
        return cls(facts, (*attributes.values(), *[value.const_value for value in values]))

    def same(self, other: "_Seen") -> bool:
        """Whether inference would say the same again."""
        return self.facts == other.facts and all(map(operator.is_, self.objects, other.objects))  # of equal facts there are as many


def _question(node: ir.Node, opset: int | None) -> tuple[object, ...] | None:
    """All that the inference of a node depends on, without names; None where it is more than numbers and words."""
    attributes = []
    for name, one in node.attributes.items():
        if one.is_ref() or one.type not in _PLAIN_ATTRIBUTES:
            return None
        attributes.append((name, one.type, tuple(one.value) if isinstance(one.value, (list, tuple)) else one.value))
    values: list[object] = []
    for value in (*node.inputs, *node.outputs):
        if value is None:
            values.append(None)
            continue
        kind, constant, number = value.type, value.const_value, None
        if kind is not None and type(kind) is not ir.TensorType:
            return None
        if constant is not None and constant.size <= _LOOKED_AT:
            if constant.dtype == ir.DataType.STRING:
                return None
            number = constant.dtype, constant.shape.numpy(), constant.tobytes()
        values.append((None if kind is None else (kind.dtype, kind.denotation), None if value.shape is None else value.shape.dims, number))
    return (node.op_type, node.domain, node.overload, opset, len(node.inputs), *attributes, *values)


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
