"""The order of passes that turns a user's ONNX model into the normalised graph."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.errors import UnsupportedModelError
from bridge.graph import facts, provenance, safe_names, source_nodes
from bridge.graph.affine import fold_constant_factors
from bridge.graph.batch_norm import batch_norm_to_conv
from bridge.graph.channel_layer_norm import fuse_channel_norms
from bridge.graph.contrib import expand_contrib, move_to_own_domain
from bridge.graph.cuts import advise
from bridge.graph.float_types import to_float32
from bridge.graph.folding import fold_constants
from bridge.graph.functions import expand_unknown, expand_without_shapes
from bridge.graph.identities import remove_identities, remove_unused
from bridge.graph.input_shapes import fix_input_shapes
from bridge.graph.ledger import Ledger, Step, translated, unused_name
from bridge.graph.linear import matmul_to_gemm
from bridge.graph.local_functions import inline_local_functions
from bridge.graph.loops import unroll_loops
from bridge.graph.lowering import lower, lower_late
from bridge.graph.missing_shapes import infer_missing_shapes
from bridge.graph.opset import lift_opset
from bridge.graph.outputs_apart import separate_outputs
from bridge.graph.patterns import find_places, recognise
from bridge.graph.reshapes import cancel_reshapes
from bridge.graph.scans import unroll_scans
from bridge.graph.supported import check_supported, refused_nodes
from bridge.graph.transposes import cancel_transposes
from bridge.graph.values import static_shape
from bridge.types import Diagnostic, Graph, SourceModel, TensorSpec

_COMPUTED = "computed before the model runs"
_PASSED_ON = "only passed a model input or a constant on"


STEPS: tuple[Step, ...] = (
    Step("remove dead nodes", remove_unused, in_place=False),
    Step("domains", move_to_own_domain),
    Step("opset", lift_opset),
    Step("expand what onnxruntime wrote", expand_contrib, gone="folded", reason=_COMPUTED, in_place=False),
    Step("expand what has no shapes", expand_without_shapes),
    Step("fold constants", fold_constants, gone="folded", reason=_COMPUTED),
    Step("write loops out", unroll_loops, in_place=False),
    Step("write scans out", unroll_scans, in_place=False),
    Step("expand what loops held", expand_contrib, gone="folded", reason=_COMPUTED, in_place=False),
    Step("fold what loops left", fold_constants, gone="folded", reason=_COMPUTED),
    Step("shapes that onnx does not infer", infer_missing_shapes),
    Step("remove identities", remove_identities, gone="folded", reason=_PASSED_ON, in_place=False),
    Step("remove what folding left unused", remove_unused, gone="folded", reason="only constants depended on it", in_place=False),
    Step("supported", check_supported, in_place=False),
    Step("float32", to_float32),
    Step("fold casts", fold_constants, gone="folded", reason=_COMPUTED),
    Step("remove casts", remove_identities, gone="folded", reason=_PASSED_ON, in_place=False),
    Step("expand what onnx2tf does not know", expand_unknown, in_place=False),
    Step("fold definitions", fold_constants, gone="folded", reason=_COMPUTED),
    Step("expand what definitions use", expand_unknown, in_place=False),
    Step("fold what definitions used", fold_constants, gone="folded", reason=_COMPUTED),
    Step("write scans of definitions out", unroll_scans, in_place=False),
    Step("fold what scans left", fold_constants, gone="folded", reason=_COMPUTED),
    Step("lower", lower),
    Step("fold what lowering left", fold_constants, gone="folded", reason=_COMPUTED),
    Step("cancel transposes", cancel_transposes, gone="folded", reason=_PASSED_ON),
    Step("LayerNorm over channels", fuse_channel_norms),
    Step("patterns", recognise),
    Step("lower what patterns left", lower_late),
    Step("BatchNormalization to Conv", batch_norm_to_conv),
    Step("MatMul to Gemm", matmul_to_gemm),
    Step("constant factors into weights", fold_constant_factors),
    Step("cancel reshapes", cancel_reshapes),
    Step("fold what rewriting left", fold_constants, gone="folded", reason=_COMPUTED),
    Step("remove what rewriting left", remove_unused, gone="folded", reason="only constants depended on it", in_place=False),
    Step("places", find_places),
    Step("separate outputs", separate_outputs),
)


def normalize(source: SourceModel, *, input_shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The user's model as a graph that onnx2tf converts and rules can speak about.

    Args:
        source: from a frontend; not changed.
        input_shapes: sizes for inputs whose shape the model leaves open, by input name.

    Raises:
        InputError: `input_shapes` does not fit the model.
        UnsupportedModelError: the model cannot become TFLite; names every cause.
    """
    with translated("read"):
        model = source_nodes.read_only_copy(inline_local_functions(source).proto)
        interface = _Interface.of(model)
        source_nodes.name_nodes(model.graph)
        source_nodes.share_modules(model.graph)
        common.InlinePass()(model)  # of REPAIR_DOMAIN
        diagnostics = [*source.diagnostics, *fix_input_shapes(model, input_shapes)]
    ledger = Ledger(model, source_nodes.list_nodes(model))
    for step in STEPS:
        try:
            diagnostics += ledger.run(step)
        except UnsupportedModelError as error:
            if step.run is check_supported:
                _advise_cut(error, source, ledger, refused_nodes(model))
            raise
    with translated("names"):
        return _graph(source, model, ledger, interface, diagnostics)


def _advise_cut(error: UnsupportedModelError, source: SourceModel, ledger: Ledger, refused: Collection[str]) -> None:
    """Says in the hint which part of the model can be taken, where a cut leaves a fair part of it."""
    advice = advise(source.proto, {tensor for node in ledger.sources() if node.name in refused for tensor in node.outputs})
    if advice is not None:
        error.advise(advice.sentence())


class _Interface:
    """Names and dtypes of inputs and outputs in the user's file."""

    def __init__(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:
        self.inputs, self.outputs = inputs, outputs

    @classmethod
    def of(cls, model: ir.Model) -> "_Interface":
        graph = model.graph
        return cls(
            [(str(value.name), _dtype(value)) for value in graph.inputs],
            [(str(value.name), _dtype(value)) for value in graph.outputs],
        )


def _dtype(value: ir.Value) -> str:
    return "" if value.dtype is None else value.dtype.numpy().name


def _graph(source: SourceModel, model: ir.Model, ledger: Ledger, interface: _Interface, diagnostics: Sequence[Diagnostic]) -> Graph:
    _name_nodes_by_origin(model)
    origin = {str(node.name): provenance.name(node) for node in model.graph}
    inputs = list(model.graph.inputs)
    shapes = [static_shape(value) or () for value in (*inputs, *model.graph.outputs)]
    values, nodes = safe_names.rename(model)
    tensor_names = MappingProxyType({new: old for new, old in values.items() if old in ledger.user_tensors})
    specs = [TensorSpec(name, shape, dtype) for (name, dtype), shape in zip([*interface.inputs, *interface.outputs], shapes, strict=True)]
    return Graph(
        model=model,
        nodes=facts.node_facts(model, tensor_names),
        source_nodes=ledger.sources(),
        inputs=tuple(specs[: len(inputs)]),
        outputs=tuple(specs[len(inputs) :]),
        tensor_names=tensor_names,
        node_names=MappingProxyType({new: origin[old] for new, old in nodes.items()}),
        diagnostics=tuple(diagnostics),
        digest=source.digest,
    )


def _name_nodes_by_origin(model: ir.Model) -> None:
    """The node that computes gets the user's name, helpers beside it the name with their operator behind it."""
    named = facts.groups(model)
    taken = set(named)
    for name, nodes in named.items():
        main = facts.main_node(nodes)
        for node in nodes:
            node.name = name if node is main else unused_name(f"{name}.{node.op_type}", taken)
            taken.add(node.name)
