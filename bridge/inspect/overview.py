"""What is in a model, which rule takes which node, and what will go wrong: all before anything is converted."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from bridge import kept_quantization, quantize
from bridge import rules as rules_stage
from bridge.calibrate import Calibration, check_samples
from bridge.indented_json import plain
from bridge.inspect.model_findings import model_findings
from bridge.inspect.tflite_ops import without_kernel
from bridge.samples import find_sources, first_sample
from bridge.sources import open_model, random_sample
from bridge.types import Diagnostic, Graph, NearMiss, SourceModel, TensorSpec

DEFAULT_PRECISION = "static_wi8_ai8"


class NodeView(Struct, frozen=True):
    """One node of the normalised graph and what the rules decide for it.

    Attributes:
        rule: id of the deciding rule with its `file` and `line`, None for the default precision.
        float_ops: TFLite operators of the node that have no kernel in `precision` and stay float.
    """

    name: str
    op_type: str
    scope: str
    patterns: tuple[str, ...]
    origins: tuple[str, ...]
    precision: str
    rule: str | None
    file: str | None
    line: int | None
    reason: str
    overridden: tuple[str, ...]
    float_ops: tuple[str, ...]


class RuleView(Struct, frozen=True):
    """One rule: the nodes it holds for, those for which it decides, and the nearest of the others."""

    id: str
    file: str
    line: int
    precision: str
    range: str
    replace: str
    reason: str
    matched: tuple[str, ...]
    deciding: tuple[str, ...]
    near_misses: tuple[NearMiss, ...]
    near_miss_count: int


class Inspection(Struct, frozen=True):
    """A model before conversion.

    Attributes:
        path: None for a live object.
        sha256: of the file, external data included.
        precision: the default, for nodes that no rule takes.
        source_ops: operators of the user's file with their number, the most frequent first.
        ops: operators after normalising, likewise.
        patterns: what was recognised, with the number of nodes that are or belong to it.
        nodes: in topological order.
        rules: in the order of the files.
        float_ops: TFLite operators without a kernel in the precision asked for, with the nodes that need them.
        diagnostics: what normalising changed, faults of the rule files, and what the model shows of trouble to come.
    """

    path: str | None
    framework: str
    sha256: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source_ops: Mapping[str, int]
    ops: Mapping[str, int]
    patterns: Mapping[str, int]
    nodes: tuple[NodeView, ...]
    rules: tuple[RuleView, ...]
    float_ops: Mapping[str, tuple[str, ...]]
    diagnostics: tuple[Diagnostic, ...]

    def as_dict(self) -> dict[str, object]:
        """Lists, dicts, text and numbers only."""
        return dict(plain(self))

    def to_json(self) -> str:
        """`as_dict` as JSON text."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False)


def inspect(
    source: object,
    *,
    rules: Sequence[str | Path] = ("default",),
    precision: str = DEFAULT_PRECISION,
    calibration: Path | str | Calibration | None = None,
    preprocess: str | Path | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    start: Sequence[str] = (),
    end: Sequence[str] = (),
) -> Inspection:
    """Reads and normalises a model, applies the rules, converts nothing.

    A rule that matches nothing is a diagnostic here, so that the nodes it should have matched can be looked up.

    Args:
        source: what `convert` takes: a path or a live model.
        rules: names of packs and paths of rule files; later ones win.
        precision: for nodes that no rule takes.
        calibration: samples to look at as well, as for `convert`.
        preprocess: how the pictures of a folder become inputs.
        input_shapes: sizes for inputs whose shape the model leaves open, by input name.
        example_inputs: what a live model is traced with, as for `convert`.
        signature: which signature of a SavedModel.
        start: tensors that become the inputs, to look at a part of the model.
        end: tensors that become the outputs likewise.

    Returns:
        Operators, patterns, the rules' decisions for every node, and findings.

    Raises:
        UsageError: the model, a rule file, a shape or the samples cannot be used.
        UnsupportedModelError: the model cannot become TFLite; names every cause.
    """
    (data,) = find_sources(calibration, preprocess=preprocess)
    opened = open_model(
        source,
        input_shapes=input_shapes,
        example_inputs=example_inputs,
        signature=signature,
        start=start,
        end=end,
        first_sample=random_sample if data is None else first_sample(data),
    )
    model, normal = opened.model, opened.graph
    said = rules_stage.apply(rules_stage.load(rules), normal.nodes, default_precision=precision, allow_idle=True)
    applied = kept_quantization.decide(said, opened.quantized, normal.nodes)
    faults = tuple(fault for fault in rules_stage.check(rules, nodes=normal.nodes) if fault.severity != "info")
    advice = () if data is None else check_samples(data.dataset(opened.inputs))
    return overview(model, normal, applied, has_kernel=quantize.has_kernel, precision=precision, further=(*faults, *advice))


def overview(
    model: SourceModel,
    normal: Graph,
    applied: rules_stage.Applied,
    *,
    has_kernel: Callable[[str, str], bool],
    precision: str = DEFAULT_PRECISION,
    further: Sequence[Diagnostic] = (),
) -> Inspection:
    """Puts together what the stages found.

    Args:
        model: what the frontend read.
        normal: the same model, normalised.
        applied: what the rules decided for it.
        has_kernel: whether a TFLite operator can run in a precision.
        precision: the default that the rules were applied with.
        further: findings about the rule files and the samples.
    """
    nodes = tuple(_node_views(normal, applied, has_kernel))
    float_ops: dict[str, list[str]] = {}
    for node in nodes:
        for op in node.float_ops:
            float_ops.setdefault(op, []).append(node.name)
    return Inspection(
        path=str(model.path) if model.path else None,
        framework=model.framework,
        sha256=normal.digest,
        precision=precision,
        inputs=normal.inputs,
        outputs=normal.outputs,
        source_ops=_counted(node.op_type for node in normal.source_nodes),
        ops=_counted(node.op_type for node in normal.nodes),
        patterns=_counted(pattern for node in normal.nodes for pattern in node.patterns),
        nodes=nodes,
        rules=_rule_views(applied),
        float_ops=MappingProxyType({op: tuple(names) for op, names in sorted(float_ops.items())}),
        diagnostics=(*normal.diagnostics, *further, *model_findings(normal, applied.decisions, has_kernel)),
    )


def _node_views(normal: Graph, applied: rules_stage.Applied, has_kernel: Callable[[str, str], bool]) -> Iterator[NodeView]:
    for node in normal.nodes:
        decision = applied.decisions[node.name]
        yield NodeView(
            name=node.name,
            op_type=node.op_type,
            scope=node.scope,
            patterns=node.patterns,
            origins=node.origins,
            precision=decision.precision,
            rule=decision.rule,
            file=decision.file,
            line=decision.line,
            reason=decision.reason,
            overridden=decision.overridden,
            float_ops=without_kernel(node, decision.precision, has_kernel),
        )


def _rule_views(applied: rules_stage.Applied) -> tuple[RuleView, ...]:
    deciding: dict[tuple[str | None, str | None, int | None], list[str]] = {}
    for decision in applied.decisions.values():
        deciding.setdefault((decision.rule, decision.file, decision.line), []).append(decision.node)
    return tuple(
        RuleView(
            id=outcome.id,
            file=outcome.file,
            line=outcome.line,
            precision=outcome.precision,
            range=str(outcome.range or ""),
            replace=outcome.replace,
            reason=outcome.reason,
            matched=outcome.matched,
            deciding=tuple(dict.fromkeys((*deciding.get((outcome.id, outcome.file, outcome.line), ()), *outcome.ranges_of, *outcome.replaced))),
            near_misses=outcome.near_misses,
            near_miss_count=outcome.near_miss_count,
        )
        for outcome in applied.outcomes
    )


def _counted(words: Iterable[str]) -> Mapping[str, int]:
    return MappingProxyType(dict(sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))))
