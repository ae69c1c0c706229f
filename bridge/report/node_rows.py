"""The `nodes` block: what every node of the user's file runs in, in the file that was written, and why; and how many tensors are accounted for."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bridge.report.schema import Coverage, Layer, Node
from bridge.types import Decision, Graph, OpOutcome, SourceNode, TensorMap

EXPLAINED = frozenset({"fused", "folded", "constant", "dead"})
# Operators whose outputs hold nothing but values of their inputs: they run in the type of what they carry, whatever their node computes in.
MOVING = frozenset(
    {
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "EMBEDDING_LOOKUP", "EXPAND_DIMS", "GATHER", "GATHER_ND", "MIRROR_PAD",
        "PACK", "PAD", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_SEQUENCE", "REVERSE_V2", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE",
        "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip
NO_OP = "no operator of the TFLite file belongs to it"


def node_rows(graph: Graph, decisions: Mapping[str, Decision], tensor_map: TensorMap, ops: Sequence[OpOutcome]) -> tuple[Node, ...]:
    """One row per node of the user's file, in its order; a fused node shows the precision of the node that stands for it."""
    owned: dict[str, list[OpOutcome]] = defaultdict(list)
    for op in ops:
        owned[tensor_map.owners[op.index]].append(op)
    asked: dict[str, list[Decision]] = defaultdict(list)  # by owner: what the rules asked of the nodes whose values its operators compute
    for name, decision in decisions.items():
        for owner in (name, *tensor_map.absorbed.get(name, ())):
            if decision.rule is not None:
                asked[owner].append(decision)
    rows = []
    for node in graph.source_nodes:
        found = _ops_of(node, owned, tensor_map)
        sharing = [decision for owner in {tensor_map.owners[op.index]: None for op in found} for decision in asked[owner]]
        rows.append(_row(node, decisions.get(node.into or node.name), found, sharing))
    return tuple(rows)


def coverage(source_nodes: Sequence[SourceNode], layers: Sequence[Layer]) -> Coverage:
    """Nodes with a proved tensor, and nodes without one but with a reason for each of their tensors."""
    by_node: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        by_node[layer.node].append(layer)
    kinds = Counter(_kind(by_node[node.name]) for node in source_nodes)
    return Coverage(nodes=len(source_nodes), mapped=kinds["mapped"], explained=kinds["explained"])


def _kind(layers: Sequence[Layer]) -> str:
    if any(layer.status == "mapped" for layer in layers):
        return "mapped"
    return "explained" if layers and all(layer.status in EXPLAINED and layer.reason for layer in layers) else "unexplained"


def _ops_of(node: SourceNode, owned: Mapping[str, Sequence[OpOutcome]], tensor_map: TensorMap) -> Sequence[OpOutcome]:
    stands_for = node.name if node.status == "kept" else node.into
    if stands_for is None:
        return ()
    own = owned.get(stands_for, ())
    return own or [op for owner in tensor_map.absorbed.get(stands_for, ()) for op in owned.get(owner, ())]


def _row(node: SourceNode, decision: Decision | None, ops: Sequence[OpOutcome], sharing: Sequence[Decision]) -> Node:
    deciding = _deciding(ops)
    precision = _precision(deciding)
    return Node(
        name=node.name,
        op_type=node.op_type,
        domain=node.domain,
        scope=node.scope,
        precision=precision,
        requested=decision.precision if decision else None,
        rule=decision.rule if decision else None,
        overridden=decision.overridden if decision else (),
        reason=_reason(decision, deciding, sharing) if precision else node.reason or NO_OP,
        status=node.status,
        into=node.into if node.status != "kept" else None,
        status_reason=node.reason,
        tflite_ops=tuple(op.op for op in ops),
        tflite_precisions=tuple(op.precision for op in ops),
    )


def _deciding(ops: Sequence[OpOutcome]) -> Sequence[OpOutcome]:
    """The ops that stand for what the node computes: those still in the file, of those the ones that do not only move data, if there are any."""
    present = [op for op in ops if op.quantized_index is not None] or ops
    return [op for op in present if op.op not in MOVING] or present


def _precision(ops: Sequence[OpOutcome]) -> str | None:
    found = {op.precision for op in ops}
    return None if not found else found.pop() if len(found) == 1 else "mixed"


def _reason(decision: Decision | None, ops: Sequence[OpOutcome], sharing: Sequence[Decision]) -> str:
    """The quantizer's reasons where it could not do as asked, else the rule's, else that of a node in the same operator."""
    refusals = dict.fromkeys(op.reason for op in ops if op.reason)
    if refusals or decision is None:
        return "; ".join(refusals)
    other = next((one for one in sharing if one.node != decision.node and one.precision != decision.precision), None)
    if decision.rule is None and other is not None and _precision(ops) == other.precision:
        return f"in one operator with {other.node!r}, which rule {other.rule!r} decided: {other.reason}"
    return decision.reason
