"""Why a node gets its precision: what the rules say, and which of its operators have no kernel in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace

from bridge import kept_quantization, quantize
from bridge import rules as rules_stage
from bridge.inspect.overview import DEFAULT_PRECISION
from bridge.inspect.tflite_ops import without_kernel
from bridge.sources import open_model
from bridge.types import Decision

FLOAT = "float32"


def explain(
    source: object,
    nodes: str,
    *,
    rules: Sequence[str | Path] = ("default",),
    precision: str = DEFAULT_PRECISION,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
) -> tuple[rules_stage.Explanation, ...]:
    """Why the nodes whose names match the glob `nodes` get their precision.

    Args:
        source: what `convert` takes: a path or a live model.
        nodes: glob over node names and module paths.
        rules: names of packs and paths of rule files; later ones win.
        precision: of nodes that no rule takes.
        input_shapes: sizes for inputs with dynamic dimensions, by name.
        example_inputs: what a live model is traced with, as for `convert`.
        signature: which signature of a SavedModel.

    Raises:
        UsageError: the model, a rule file, the precision or the glob cannot be used.
        UnsupportedModelError: the model cannot become TFLite.
    """
    quantize.find_precision(precision)
    opened = open_model(source, input_shapes=input_shapes, example_inputs=example_inputs, signature=signature)
    facts = {node.name: node for node in opened.graph.nodes}
    found = rules_stage.explain(rules_stage.load(rules), opened.graph.nodes, nodes, default_precision=precision)
    if opened.quantized is not None:
        found = tuple(_by_the_file(one, kept_quantization.decision(facts[one.node], opened.quantized)) for one in found)
    return tuple(
        replace(
            one,
            kernels=tuple(_note(op, one.decision.precision) for op in without_kernel(facts[one.node], one.decision.precision, quantize.has_kernel)),
        )
        for one in found
    )


def _by_the_file(one: rules_stage.Explanation, decision: Decision) -> rules_stage.Explanation:
    """What a quantized model says of itself holds, and no rule."""
    return replace(one, decision=decision, overridden=(), near_misses=(), ranges=(), replacement=None)


def _note(op: str, precision: str) -> str:
    """What an operator without a kernel in a precision gets instead."""
    instead = next((other for other in quantize.PRECISIONS[precision].instead if quantize.has_kernel(op, other)), FLOAT)
    return f"no {precision} kernel for {op}: it runs in {instead}"
