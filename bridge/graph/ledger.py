"""Accounts for every node and tensor name of the user's file while passes replace nodes and values."""

import contextlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import onnx_ir as ir
from msgspec import Struct

from bridge.errors import BridgeError, UnsupportedModelError
from bridge.graph import provenance
from bridge.graph.values import GRAPHS
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


class Step(Struct, frozen=True):
    """One pass and what it means for a node of the user's file when no node stands for it any more afterwards.

    `in_place`: it may change what a node or a value is without putting another one in its place, so that all passes have to look again.
    """

    name: str
    run: Pass
    gone: SourceStatus = "dead"
    reason: str = "no output depends on it"
    in_place: bool = True


class _Snapshot(Struct, frozen=True):
    """The graph as a pass left it.

    Attributes:
        nodes: with those of subgraphs, and the name of each, what it stands for and what it writes.
        values: of the main graph, with their names.
        alive: nodes of the user's file that some node stands for.
    """

    nodes: list[tuple[ir.Node, str | None, str | None, Sequence[ir.Value]]]
    values: list[tuple[ir.Value, str | None]]
    alive: frozenset[str]

    @classmethod
    def of(cls, graph: ir.Graph) -> "_Snapshot":
        main = list(graph)
        nodes = _nodes(main)
        return cls(nodes, _values(graph, main), frozenset(source for node, *_ in nodes for source in provenance.origins(node)))

    def same(self, graph: ir.Graph) -> bool:
        """Whether no node and no value came, went or got another name, and every node stands for what it stood for."""
        main = list(graph)
        return _nodes(main) == self.nodes and _values(graph, main) == self.values


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
        self._before = _Snapshot.of(model.graph)
        self._changes = 0
        self._idle: dict[Pass, int] = {}  # passes that found nothing to do, and after how many changes that was

    @property
    def user_tensors(self) -> frozenset[str]:
        """Names of all tensors of the user's file."""
        return self._user_tensors

    def run(self, step: Step) -> tuple[Diagnostic, ...]:
        """Runs one step and books what it changed; a pass that would find nothing to do once more is left out.

        Raises:
            UnsupportedModelError: the pass cannot work with this model.
        """
        if self._idle.get(step.run) == self._changes:
            return ()
        metadata = [dict(node.metadata_props) for node, *_ in self._before.nodes]
        with translated(step.name):
            diagnostics = step.run(self._model)
        graph = self._model.graph
        changed = not self._before.same(graph)
        self._changes += changed or step.in_place
        if not changed:  # most steps find nothing to do
            self._idle[step.run] = self._changes
        else:
            self._rename_impostors()
            _adopt(graph, self._before, metadata)
            now = _Snapshot.of(graph)
            for name in self._before.alive - now.alive:
                self._gone[name] = (step.gone, step.reason)
            self._before = now
        return tuple(diagnostics or ())

    def _rename_impostors(self) -> None:
        """Passes name new values after what is there, not after what the user's file had: a new value is the user's tensor only if it took its place."""
        values, before = _values(self._model.graph, self._model.graph), {name: value for value, name in self._before.values if name}
        staying = {name for value, name in values if before.get(name or "") is value}
        taken = {name for _, name in values} | self._user_tensors
        for value, name in values:
            is_new = name is not None and before.get(name) is not value
            if is_new and (name in staying or (name in self._user_tensors and name not in before)):
                value.name = unused_name(f"{name}.new", taken)
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


def _nodes(graph: Iterable[ir.Node]) -> list[tuple[ir.Node, str | None, str | None, Sequence[ir.Value]]]:
    """With those of subgraphs; `all_nodes` takes three times as long, and this is asked for after every step."""
    found = []
    for node in graph:
        found.append((node, node.name, node.metadata_props.get(provenance.ORIGINS), node.outputs))
        for attribute in node.attributes.data.values():
            if attribute.type in GRAPHS and not attribute.is_ref():
                for inner in [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else attribute.as_graphs():
                    found += _nodes(inner)
    return found


def _values(graph: ir.Graph, nodes: Iterable[ir.Node]) -> list[tuple[ir.Value, str | None]]:
    """Of the main graph, whose nodes these are."""
    found = [(value, value.name) for value in (*graph.inputs, *graph.initializers.values())]
    found += [(output, output.name) for node in nodes for output in node.outputs]
    return found


def _adopt(graph: ir.Graph, before: _Snapshot, metadata: Sequence[dict[str, str]]) -> None:
    """Gives nodes without provenance that of the node they replace.

    1. A node of the same name stood there (the version converter keeps names and drops metadata).
    2. It writes a tensor that another node wrote.
    3. It is a helper: what it feeds, else what feeds it, knows.

    Args:
        graph: after the pass.
        before: before it.
        metadata: of the nodes of `before`, in their order.
    """
    orphans = [node for node in graph.all_nodes() if not provenance.origins(node)]
    if not orphans:
        return
    names = dict(before.values)
    of_node = {name: props for (_, name, *_), props in zip(before.nodes, metadata, strict=True)}
    of_tensor = {names.get(output, output.name): props for (*_, outputs), props in zip(before.nodes, metadata, strict=True) for output in outputs}
    for node in orphans:
        written = (of_tensor[output.name] for output in node.outputs if output.name and output.name in of_tensor)
        node.metadata_props.update((of_node.get(node.name) if node.name else None) or next(written, {}))
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
