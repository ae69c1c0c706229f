"""Accounts for every node and tensor name of the user's file while passes replace nodes and values."""

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from bridge.errors import BridgeError, UnsupportedModelError
from bridge.graph import provenance
from bridge.types import Diagnostic, SourceNode, SourceStatus

type Pass = Callable[[ir.Model], Sequence[Diagnostic] | None]

# What passes of onnx, onnx_ir and onnxscript raise on models they cannot work with.
_FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    ir.passes.PassError,
)


@contextlib.contextmanager
def translated(step: str) -> Iterator[None]:
    """Turns what libraries raise into an error that names the step.

    Raises:
        UnsupportedModelError: the step cannot work with this model.
    """
    try:
        yield
    except BridgeError:
        raise
    except _FOREIGN_ERRORS as error:
        raise UnsupportedModelError(
            f"Graph pass {step!r} cannot handle this model: {_innermost(error)}",
            hint="Check the file with onnx.checker.check_model(path, full_check=True).",
            causes=["graph-pass"],
        ) from error


@dataclass(frozen=True, slots=True)
class Step:
    """One pass and what it means for a node of the user's file when no node stands for it any more afterwards."""

    name: str
    run: Pass
    gone: SourceStatus = "dead"
    reason: str = "no output depends on it"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The graph before a pass."""

    metadata_of_node: dict[str, dict[str, str]]
    metadata_of_tensor: dict[str, dict[str, str]]
    values: dict[str, ir.Value]
    alive: frozenset[str]


class Ledger:
    """Runs steps; afterwards every node stands for nodes of the user's file, and a tensor has a name of the user's file only if it is that tensor.

    Args:
        model: with named and stamped nodes.
        sources: the user's nodes, in the file's order.
    """

    def __init__(self, model: ir.Model, sources: Sequence[SourceNode]) -> None:
        self._model = model
        self._sources = tuple(sources)
        self._user_tensors = frozenset(tensor_names(model.graph))
        self._gone: dict[str, tuple[SourceStatus, str]] = {}

    @property
    def user_tensors(self) -> frozenset[str]:
        """Names of all tensors of the user's file."""
        return self._user_tensors

    def run(self, step: Step) -> tuple[Diagnostic, ...]:
        """Runs one step and books what it changed.

        Raises:
            UnsupportedModelError: the pass cannot work with this model.
        """
        before = _snapshot(self._model)
        with translated(step.name):
            diagnostics = step.run(self._model)
        self._rename_impostors(before)
        _adopt(self._model.graph, before)
        for name in before.alive - _alive(self._model.graph):
            self._gone[name] = (step.gone, step.reason)
        return tuple(diagnostics or ())

    def _rename_impostors(self, before: _Snapshot) -> None:
        """Passes name new values after what is there, not after what the user's file had: a new value is the user's tensor only if it took its place."""
        values = _values(self._model.graph)
        staying = {value.name for value in values if before.values.get(value.name or "") is value}
        taken = {value.name for value in values} | self._user_tensors
        for value in values:
            is_new = value.name is not None and before.values.get(value.name) is not value
            if is_new and (value.name in staying or (value.name in self._user_tensors and value.name not in before.values)):
                value.name = unused_name(f"{value.name}.new", taken)
                taken.add(value.name)

    def sources(self) -> tuple[SourceNode, ...]:
        """The user's nodes with what became of each."""
        nodes = list(self._model.graph)
        own = {provenance.name(node) for node in nodes}
        into = {source: provenance.name(node) for node in reversed(nodes) for source in provenance.origins(node)}
        return tuple(self._settle(source, own, into) for source in self._sources)

    def _settle(self, source: SourceNode, own: set[str], into: dict[str, str]) -> SourceNode:
        status: SourceStatus
        target: str | None = None
        if source.name in own:
            status, reason, target = "kept", "", source.name
        elif source.name in into:
            status, reason, target = "fused", f"part of {into[source.name]}", into[source.name]
        elif source.op_type == "Constant":
            status, reason = "constant", "a constant of the model"
        else:
            status, reason = self._gone.get(source.name, ("dead", "no output depends on it"))
        return SourceNode(
            name=source.name,
            op_type=source.op_type,
            domain=source.domain,
            scope=source.scope,
            outputs=source.outputs,
            status=status,
            into=target,
            reason=reason,
        )


def unused_name(wanted: str, taken: Container[str | None]) -> str:
    """`wanted`, or `wanted` with a number behind it."""
    candidate, count = wanted, 1
    while candidate in taken:
        count += 1
        candidate = f"{wanted}_{count}"
    return candidate


def tensor_names(graph: ir.Graph) -> Iterable[str]:
    """Names of inputs, initializers and everything nodes write, subgraphs included."""
    yield from (value.name for value in graph.inputs if value.name)
    yield from graph.initializers
    yield from (output.name for node in graph.all_nodes() for output in node.outputs if output.name)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(output for node in graph for output in node.outputs)]


def _alive(graph: ir.Graph) -> frozenset[str]:
    return frozenset(source for node in graph.all_nodes() for source in provenance.origins(node))


def _snapshot(model: ir.Model) -> _Snapshot:
    graph = model.graph
    metadata = [(node, dict(node.metadata_props)) for node in graph.all_nodes()]
    return _Snapshot(
        metadata_of_node={node.name: props for node, props in metadata if node.name},
        metadata_of_tensor={output.name: props for node, props in metadata for output in node.outputs if output.name},
        values={value.name: value for value in _values(graph) if value.name},
        alive=_alive(graph),
    )


def _adopt(graph: ir.Graph, before: _Snapshot) -> None:
    """Gives nodes without provenance that of the node they replace.

    1. A node of the same name stood there (the version converter keeps names and drops metadata).
    2. It writes a tensor that another node wrote.
    3. It is a helper: what it feeds, else what feeds it, knows.
    """
    orphans = [node for node in graph.all_nodes() if not provenance.origins(node)]
    for node in orphans:
        written = (before.metadata_of_tensor[output.name] for output in node.outputs if output.name in before.metadata_of_tensor)
        node.metadata_props.update(before.metadata_of_node.get(node.name or "") or next(written, {}))
    for node in reversed(orphans):
        _inherit_from(node, (user.metadata_props for output in node.outputs for user in output.consumers()))
    for node in orphans:
        _inherit_from(node, (source.metadata_props for value in node.inputs if value is not None and (source := value.producer()) is not None))


def _inherit_from(node: ir.Node, relatives: Iterable[dict[str, str]]) -> None:
    if not provenance.origins(node):
        node.metadata_props.update(next((metadata for metadata in relatives if provenance.ORIGINS in metadata), {}))


def _innermost(error: BaseException) -> str:
    """First line of the cause; wrappers of pass managers say nothing."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]
