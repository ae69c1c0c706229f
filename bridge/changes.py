"""What rules change in the model: the graph that is converted, the reference that proves it, and the error that the changes make by themselves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge import quantize
from bridge.compare import OnnxRunner, Reference
from bridge.compare.change_effects import measure_effects
from bridge.compare.samples import Samples
from bridge.errors import UsageError
from bridge.graph import Switch, change, changed_source
from bridge.rules import Applied
from bridge.types import Change, ChangeEffects, Decision, Diagnostic, Graph, NodeFacts, OpOutcome, SourceModel, TensorMap

EFFECT_SAMPLES = 8  # of the evaluation data; each is run once for every change
EFFECT_RUNS = 500  # of the model; with many changes fewer samples have to do
NAMED = 5  # nodes in one message


class ChangedModel(Struct, frozen=True):
    """The model as rules changed it; without such rules it is the user's.

    Attributes:
        graph: what is converted.
        changes: in topological order, clips last.
        diagnostics: what could not be done, or is without effect.
        downstream: nodes of the user's file whose values differ from the user's model by design.
        runner: the user's model with a switch for each change, None without changes.
        switches: of each change.
    """

    graph: Graph
    changes: tuple[Change, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    downstream: frozenset[str] = frozenset()
    runner: OnnxRunner | None = None
    switches: tuple[Switch, ...] = ()

    def reference(self, plain: Reference) -> Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]:
        """Runs the user's model `plain` with the changes that are in the graph; every tensor has the user's name."""
        if self.runner is None:
            return plain.run
        runner, shown = self.runner, [name for name in plain.tensors if name in set(self.runner.tensors)]
        switched = {one.name: np.array(made.in_graph) for one, made in zip(self.switches, self.changes, strict=True)}
        return lambda feeds: runner.run({**feeds, **switched}, shown)

    def effects(self, samples: Samples, *, threads: int) -> ChangeEffects | None:
        """What the changes cost by themselves, None without changes."""
        if self.runner is None:
            return None
        switches = [(one.name, one.before, one.after) for one in self.switches]
        count = max(1, min(EFFECT_SAMPLES, EFFECT_RUNS // len(switches)))
        return measure_effects(self.runner, self.changes, switches, samples, count=count, threads=threads)


def change_model(source: SourceModel, normal: Graph, applied: Applied, *, threads: int) -> ChangedModel:
    """Does to the model what rules say.

    Args:
        source: the user's model.
        normal: the same, normalised.
        applied: what rules decided for its nodes.
        threads: of one run of the reference.

    Raises:
        UnsupportedModelError: a function that rules replace is none of one tensor in the user's file.
        ToolError: onnxruntime does not run the changed model.
    """
    if source.float_file is not None:
        _refuse_changes(source.float_file, applied)
    clips = [(one, not _is_integer(applied.decisions[one.node])) for one in applied.ranges.values() if one.choice.clip is not None]
    changed = change(normal, applied.replacements, clips)
    if not changed.swaps:
        return ChangedModel(normal, diagnostics=changed.diagnostics)
    switched = changed_source(source, changed.swaps)
    changes = tuple(swap.change for swap in changed.swaps)
    return ChangedModel(
        changed.graph,
        changes,
        (*changed.diagnostics, *_kept_float(changes, applied.decisions)),
        _downstream(changed.graph.nodes, changes),
        OnnxRunner(switched.proto, threads=threads),
        switched.switches,
    )


def _refuse_changes(path: Path, applied: Applied) -> None:
    """A TFLite file is quantized as it is."""
    clips = [(one.rule, one.file, one.line) for one in applied.ranges.values() if one.choice.clip is not None]
    for rule, file, line in (*((one.rule, one.file, one.line) for one in applied.replacements.values()), *clips):
        raise UsageError(
            f"{path}: rule {rule!r} ({file}:{line}) changes what the model computes, a TFLite file is quantized as it is.",
            hint="Convert the model that it was made from, or leave out `replace` and `clip`.",
        )


def unclipped(changes: Sequence[Change], tensor_map: TensorMap, ops: Sequence[OpOutcome]) -> tuple[Diagnostic, ...]:
    """Clips that were left to the range of integers, where the operator then stayed float after all."""
    kept = {tensor_map.owners[op.index] for op in ops if not quantize.PRECISIONS[op.precision].integer}
    lost = [one for one in changes if one.kind == "clip" and not one.in_graph and one.node in kept]
    return tuple(
        Diagnostic(
            "clip-without-effect",
            "warning",
            f"Rule {one.rule!r} ({one.file}:{one.line}) clips {one.tensor!r} to {one.by}, but its operator stayed float, where ranges do nothing.",
            "Give the node the precision float32 in the rule: then the file gets a real clip.",
            one.node,
        )
        for one in lost
    )


def _is_integer(decision: Decision) -> bool:
    return quantize.PRECISIONS[decision.precision].integer


def _kept_float(changes: Sequence[Change], decisions: Mapping[str, Decision]) -> Iterable[Diagnostic]:
    """Functions that were replaced and stay float by another rule, which is seldom meant."""
    by_rule: dict[tuple[str | None, str, str], list[str]] = {}
    for one in changes:
        decision = decisions[one.node]
        if one.kind == "replace" and decision.rule not in (None, one.rule) and not _is_integer(decision):
            by_rule.setdefault((decision.rule, one.rule, one.by), []).append(one.node)
    for (keeping, replacing, by), nodes in by_rule.items():
        more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
        yield Diagnostic(
            "replacement-stays-float",
            "warning",
            f"Rule {replacing!r} replaces {', '.join(map(repr, nodes[:NAMED]))}{more} by {by}, but rule {keeping!r} keeps them float.",
            'Write precision = "static_wi8_ai8" into the rule that replaces.',
        )


def _downstream(nodes: Sequence[NodeFacts], changes: Sequence[Change]) -> frozenset[str]:
    """The nodes whose values depend on a change in the graph, by all names they have in the user's file."""
    inside = {one.node for one in changes if one.in_graph}
    clipped = {one.tensor for one in changes if one.in_graph}
    tensors: set[str] = set(clipped)
    found: set[str] = set()
    for node in nodes:
        if node.name in inside or any(spec.name in tensors for spec in node.inputs):
            found.update((node.name, *node.origins))
            tensors.update(spec.name for spec in node.outputs)
    return frozenset(found)
