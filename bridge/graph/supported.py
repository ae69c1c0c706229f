"""Refuses models that cannot become TFLite, with every cause at once."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence, Set

import onnx
import onnx_ir as ir

from bridge.errors import Cause, UnsupportedModelError
from bridge.graph import provenance
from bridge.graph.values import GRAPHS, constant_array, static_shape
from bridge.types import Diagnostic

_STANDARD = ("", "ai.onnx")
_RANDOM = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})
_NO_TYPE = frozenset(
    kind for kind in ir.DataType if kind.name.startswith(("FLOAT8", "FLOAT4", "FLOAT6", "INT4", "UINT4", "INT2", "UINT2", "COMPLEX"))
)
_NAMED_PER_CAUSE = 5
_CUT = "Cut these nodes off (--from TENSOR and --to TENSOR take the part between tensors) or replace them by standard operators."
_FIX = "An input that decides a shape can become a constant: --constant NAME=VALUE."
_REGISTER = (
    "Two ways out: bridge.register_op says what a custom operator means, as standard operators or as a TFLite CUSTOM operator (docs/custom-ops.md, "
    "--custom-ops MODULE); or cut the nodes off: --from TENSOR and --to TENSOR take the part between tensors."
)
_EVAL = "Export in eval mode: model.eval() before torch.onnx.export, training=False in Keras."
_MAX_BYTES = (1 << 31) - 1  # a flatbuffer counts with 32 bits, and so do the kernels


def check_supported(model: ir.Model) -> None:
    """Checks a model whose constants are folded and whose functions are inlined.

    Raises:
        UnsupportedModelError: operators outside the standard, control flow, values that are no tensors, have no type in TFLite or a shape that
            depends on data, results that are random, training.
    """
    found = list(_refused_nodes(model))
    found += [
        ("no-tflite-type", f"{value.dtype} values, which TFLite does not have,", str(value.name))
        for value in model.graph.inputs
        if value.dtype in _NO_TYPE
    ]
    found += [("empty-tensor", "an input without elements", str(value.name)) for value in model.graph.inputs if 0 in (static_shape(value) or ())]
    if not found and not any(node.op_type != "Constant" for node in model.graph):
        found = [("constant-output", "nothing to compute: a constant, or an input handed on,", str(value.name)) for value in model.graph.outputs]
    if found:
        raise _refusal(found)


def refused_nodes(model: ir.Model) -> frozenset[str]:
    """Names of the nodes for which `check_supported` refuses a model."""
    return frozenset(name for _, _, name in _refused_nodes(model))


def _refused_nodes(model: ir.Model) -> Iterator[tuple[Cause, str, str]]:
    opset = model.opset_imports.get("", 1)
    for node in model.graph:
        for cause, text in _causes(node, opset):
            yield cause, text, provenance.name(node) or str(node.name)


def _refusal(found: Sequence[tuple[Cause, str, str]]) -> UnsupportedModelError:
    """What is wrong with a model, as one sentence and as findings.

    Args:
        found: cause, words for it, and the node or tensor, for each place.
    """
    named: dict[tuple[Cause, str], list[str]] = {}
    for cause, text, name in found:
        named.setdefault((cause, text), []).append(name)
    return UnsupportedModelError(
        f"The model cannot become TFLite: {'; '.join(f'{text} at {_listed(names)}' for (_, text), names in named.items())}.",
        hint=_hint({cause for cause, _, _ in found}),
        causes=sorted({cause for cause, _, _ in found}),
        findings=[Diagnostic(cause, "error", f"{text} at {_listed(names)}.", _hint({cause}), names[0]) for (cause, text), names in named.items()],
    )


def _hint(causes: Set[Cause]) -> str:
    if "foreign-domain" in causes:
        return _REGISTER
    if causes == {"training"}:
        return _EVAL
    return f"{_CUT} {_FIX}" if "dynamic-shape" in causes else _CUT


def _causes(node: ir.Node, opset: int) -> Iterator[tuple[Cause, str]]:
    """The first reason of `_CHECKS`, in a word and in words; what comes behind it is only a consequence."""
    for cause, holds, text in _CHECKS:
        if holds(node, opset):
            kinds = ", ".join(str(value.dtype) for value in node.outputs)
            reason = provenance.refused(node)
            yield cause, text.format(op=node.op_type, domain=node.domain, opset=opset, kinds=kinds, why=f" ({reason})" if reason else "")
            return


@functools.cache
def _is_known(op_type: str, opset: int) -> bool:
    return bool(onnx.defs.has(op_type, opset, ""))


def _values(node: ir.Node) -> list[ir.Value]:
    return [value for value in (*node.inputs, *node.outputs) if value is not None]


def _trains(node: ir.Node) -> bool:
    """Whether the node does, or may do, what it does in training."""
    if node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2] is not None:
        mode = constant_array(node.inputs[2])
        return mode is None or bool(mode.any())
    return bool(node.op_type == "BatchNormalization" and node.attributes.get_int("training_mode", 0))


def _first_unknown(node: ir.Node) -> bool:
    """Whether the node has outputs of unknown shape while all its inputs are known; what comes behind is only a consequence."""
    known = all(value.shape is not None and value.shape.is_static() for value in node.inputs if value is not None)
    return known and any(output.shape is None or not output.shape.is_static() for output in node.outputs if output.name)


def _bytes(value: ir.Value) -> int:
    shape = static_shape(value)
    return 0 if shape is None or value.dtype is None or value.dtype == ir.DataType.STRING else int(math.prod(shape) * value.dtype.itemsize)


def _listed(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _NAMED_PER_CAUSE} more" if len(nodes) > _NAMED_PER_CAUSE else ""
    return ", ".join(map(repr, nodes[:_NAMED_PER_CAUSE])) + more


# Cause, (node, opset) -> whether it holds, what to say.
_CHECKS: tuple[tuple[Cause, Callable[[ir.Node, int], bool], str], ...] = (
    ("foreign-domain", lambda node, _: node.domain not in _STANDARD, "operator {op} of domain {domain}{why}"),
    ("unknown-operator", lambda node, opset: not _is_known(node.op_type, opset), "operator {op}, which ONNX opset {opset} does not have,"),
    ("control-flow", lambda node, _: any(attribute.type in GRAPHS for attribute in node.attributes.values()), "control flow ({op})"),
    (
        "sequence",
        lambda node, _: any(value.type is not None and not isinstance(value.type, ir.TensorType) for value in _values(node)),
        "sequence or optional values ({op})",
    ),
    ("string", lambda node, _: any(value.dtype == ir.DataType.STRING for value in _values(node)), "strings ({op})"),
    ("no-tflite-type", lambda node, _: any(value.dtype in _NO_TYPE for value in node.outputs), "{kinds} values, which TFLite does not have, ({op})"),
    ("random", lambda node, _: node.op_type in _RANDOM, "random numbers ({op})"),
    ("training", lambda node, _: _trains(node), "training ({op})"),
    ("too-large", lambda node, _: any(_bytes(output) > _MAX_BYTES for output in node.outputs), "a tensor of more than 2 GB ({op})"),
    ("dynamic-shape", lambda node, _: _first_unknown(node), "a shape that is not known before the model runs ({op})"),
)
