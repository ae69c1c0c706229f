"""Functions that a file brings along, and registered decompositions, become nodes of the main graph under the names of their calls."""

from collections.abc import Iterable

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from msgspec.structs import replace

from bridge.errors import UnsupportedModelError
from bridge.graph import provenance, source_nodes
from bridge.graph.ledger import translated
from bridge.limits import MAX_NODES
from bridge.types import SourceModel

# Functions that a frontend wrote in place of an operator that ONNX does not have; their bodies keep the call's name, so they are inlined later.
REPAIR_DOMAIN = "bridge.repair"
# Functions that exporters write for operators of their framework; what is called in any other domain is a layer of the user's own.
EXPORTER_DOMAINS = ("ai.onnx", "bridge", "com.microsoft", "onnxscript", "pkg", "torch")


def inline_local_functions(source: SourceModel) -> SourceModel:
    """The same model without local functions, the very object if it has none; both onnxruntime and `normalize` get this one.

    A body's node is called `<call>/<node>`. Nodes of a function outside of `EXPORTER_DOMAINS` keep its domain for rules: a custom layer stays one.

    Raises:
        UnsupportedModelError: functions that call themselves, or that are written for another opset in which their operators mean something else.
    """
    if all(function.domain == REPAIR_DOMAIN for function in source.proto.functions):
        return source
    with translated("inline functions"):
        model = source_nodes.read_only_copy(source.proto)
        _refuse_recursion(model)
        _refuse_explosion(model)
        _use_opset_of_model(model)
        source_nodes.name_nodes(model.graph)
        calls = {str(node.name): node for node in model.graph.all_nodes() if node.op_identifier() in model.functions}
        for node in calls.values():
            if node.domain.partition(".")[0] not in {domain.partition(".")[0] for domain in EXPORTER_DOMAINS}:
                provenance.keep_domain(node, node.domain)
        common.InlinePass(criteria=lambda function: function.domain != REPAIR_DOMAIN)(model)
        taken: set[str] = set()
        for node in model.graph.all_nodes():
            call = provenance.name(node)
            if call in calls and calls[call].domain != REPAIR_DOMAIN:
                node.name = _unused(f"{call}/{node.name}", taken)
                taken.add(node.name)
        return replace(source, proto=ir.to_proto(model))


def _unused(wanted: str, taken: set[str]) -> str:
    return wanted if wanted not in taken else next(name for count in range(2, len(taken) + 3) if (name := f"{wanted}_{count}") not in taken)


def _refuse_recursion(model: ir.Model) -> None:
    called = {key: {node.op_identifier() for node in function.all_nodes()} & set(model.functions) for key, function in model.functions.items()}
    while True:
        leaves = [key for key, inner in called.items() if not inner & set(called)]
        if not leaves:
            break
        for key in leaves:
            del called[key]
    if called:
        named = ", ".join(f"{domain} {name}" for domain, name, _ in sorted(called))
        raise UnsupportedModelError(f"Functions of the file call themselves: {named}.", hint="Export the model without recursion.")


def _refuse_explosion(model: ir.Model) -> None:
    """Ten functions that each call the one before ten times are short to write and endless to write out."""
    sizes: dict[ir.OperatorIdentifier, int] = {}

    def size(nodes: Iterable[ir.Node]) -> int:
        return sum(sizes[node.op_identifier()] if node.op_identifier() in model.functions else 1 for node in nodes)

    waiting = dict(model.functions)
    while waiting:  # no function calls itself, so each round finds some that call only known ones
        for key, function in list(waiting.items()):
            nodes = list(function.all_nodes())
            if not any(node.op_identifier() in waiting for node in nodes):
                sizes[key] = size(nodes)
                del waiting[key]
    count = size(model.graph.all_nodes())
    if count > MAX_NODES:
        raise UnsupportedModelError(
            f"The model has {count} nodes once its functions are written out; at most {MAX_NODES} are taken.", causes=["too-large"]
        )


def _use_opset_of_model(model: ir.Model) -> None:
    """A function may import another opset than the model, as long as its operators are the same in both."""
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    for function in model.functions.values():
        own = function.opset_imports.get("", function.opset_imports.get("ai.onnx"))
        if own is None or version is None or own == version:
            continue
        changed = sorted({node.op_type for node in function.all_nodes() if node.domain == "" and _since(node, own) != _since(node, version)})
        if changed:
            raise UnsupportedModelError(
                f"Function {function.domain} {function.name} is written for opset {own}, the model for {version}, "
                f"and these operators differ between them: {', '.join(changed)}.",
                hint="Export the model with one opset.",
            )
        function.opset_imports[""] = version


def _since(node: ir.Node, version: int) -> int | None:
    """Opset that defined the operator as `version` has it."""
    return onnx.defs.get_schema(node.op_type, version, "").since_version if onnx.defs.has(node.op_type, version, "") else None
