"""Frozen values that cross stages. No arrays in here: a value holds names, shapes, paths and digests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from bridge.observer_names import DEFAULT_OBSERVER

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

Severity = Literal["info", "warning", "error"]
SourceStatus = Literal["kept", "fused", "folded", "constant", "dead"]
PairStatus = Literal["mapped", "fused", "folded", "constant", "dead", "missing"]
Evidence = Literal["name", "values", "none"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of a tensor. `dtype` is NumPy's name (`float32`, `int64`); a `str` in `shape` is a symbolic dimension."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable and kebab-case, `node` is the user's name of the node it is about."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    node: str | None = None


@dataclass(frozen=True, slots=True)
class SourceModel:
    """What a frontend hands to `graph.normalize`: the user's model as ONNX in memory.

    Attributes:
        proto: the model with its external data inside, legal enough for onnxruntime; nobody writes to it.
        digest: sha256 of the user's file (external data included).
        path: where it came from, None for a live object.
        framework: `onnx`, `torch`, `keras` or `tensorflow`.
        diagnostics: what loading had to repair.
    """

    proto: "onnx.ModelProto"
    digest: str
    path: Path | None = None
    framework: str = "onnx"
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node of the normalised graph, as rules see it.

    Attributes:
        name: the user's name of the node, unique in the graph; for a fused node the name of its main origin.
        op_type: ONNX operator, for example `LayerNormalization`.
        domain: operator domain, `""` for the standard one.
        pattern: what the node is or belongs to (`layer_norm`, `gelu`, `silu`, `residual_add`, ...), None if nothing was recognised.
        scope: module path such as `encoder/layer.3`, empty when unknown.
        origins: names of the nodes of the user's file that it stands for, in their order there; contains `name`.
        inputs: tensors read, names as in the user's file where the tensor exists there.
        outputs: tensors written, likewise.
        constant_inputs: positions in `inputs` whose value is known before the model runs.
        attributes: ONNX attributes as Python values (no tensors).
        own_sqnr_db: what the node loses by itself when it runs in the default precision on calibration samples; None until that was measured,
            and for nodes that run in float or have no operator of their own.
    """

    name: str
    op_type: str
    domain: str
    pattern: str | None
    scope: str
    origins: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    constant_inputs: tuple[int, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    own_sqnr_db: float | None = None


@dataclass(frozen=True, slots=True)
class SourceNode:
    """One node of the user's file and what became of it.

    Attributes:
        name: the node's name in the user's file; nameless nodes get `<op_type>_<position>`.
        outputs: tensor names in the user's file.
        status: `kept` (a node of its own in the normalised graph), `fused` (part of the node `into`), `folded` (computed before the model
            runs), `constant`, `dead` (no output depends on it).
        into: `NodeFacts.name` of the node that stands for it; None for folded, constant and dead ones.
        reason: why it is not `kept`, in a few words; empty for kept ones.
    """

    name: str
    op_type: str
    domain: str
    scope: str
    outputs: tuple[str, ...]
    status: SourceStatus
    into: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """The normalised model.

    Attributes:
        model: every value has a static shape, a dtype and a name that onnx2tf keeps; nobody writes to it after `normalize`.
        nodes: its nodes in topological order.
        source_nodes: all nodes of the user's file, in its order.
        inputs: model inputs in the user's names, shapes fixed, dtype and layout of the user's file.
        outputs: model outputs likewise.
        tensor_names: name of a value in `model` -> name in the user's file, only for values that both have with equal contents.
        node_names: name of a node in `model` -> `NodeFacts.name`.
        diagnostics: what normalising changed that the user should know.
        digest: sha256 of the user's file (external data included).
    """

    model: "ir.Model"
    nodes: tuple[NodeFacts, ...]
    source_nodes: tuple[SourceNode, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tensor_names: Mapping[str, str]
    node_names: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A node for which all conditions of a rule held but one; `condition` says which one and what was received."""

    node: str
    condition: str


@dataclass(frozen=True, slots=True)
class RangeChoice:
    """How one tensor gets its range where a rule says so; one of the three is given, or `observer` and `clip`.

    Attributes:
        observer: name of an observer, None for the default one.
        fixed: the range itself, whatever the data say.
        clip: the calibrated range is cut to this one.
    """

    observer: str | None = None
    fixed: tuple[float, float] | None = None
    clip: tuple[float, float] | None = None

    def __str__(self) -> str:
        parts = [self.observer] if self.observer else []
        parts += [f"range {self.fixed[0]:g} .. {self.fixed[1]:g}"] if self.fixed else []
        parts += [f"clip {self.clip[0]:g} .. {self.clip[1]:g}"] if self.clip else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class RangeDecision:
    """How the tensors that a node writes get their ranges, and the rule that says so.

    Attributes:
        node: `NodeFacts.name`.
        choice: what the rule says.
        rule: its id.
        file: rule file.
        line: line of the rule in it, counted from 1.
        overridden: ids of rules that said something else and were overruled by this one, in their order.
    """

    node: str
    choice: RangeChoice
    rule: str
    file: str
    line: int
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule did. `matched` names every node the rule holds for, also where a later rule decided.

    `near_misses` holds the nearest few, `near_miss_count` says how many there are. `precision` is empty where the rule says nothing about it;
    `range` is None likewise, and `ranges_of` names the nodes whose ranges it decides.
    """

    id: str
    file: str
    line: int
    reason: str
    precision: str
    matched: tuple[str, ...]
    near_misses: tuple[NearMiss, ...] = ()
    near_miss_count: int = 0
    range: RangeChoice | None = None
    ranges_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The precision of one node and who decided it.

    Attributes:
        node: `NodeFacts.name`.
        precision: a name of DESIGN's precisions, `static_wi8_ai8` or `float32`, ...
        rule: id of the deciding rule, None for the default precision.
        file: rule file, None without a rule.
        line: line of the rule in it, counted from 1.
        reason: the rule's reason, or why the default applies.
        overridden: ids of rules that matched and were overruled by a later one, in their order.
    """

    node: str
    precision: str
    rule: str | None
    file: str | None
    line: int | None
    reason: str
    overridden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorPair:
    """An ONNX tensor of the user's file and its counterpart in the float TFLite file.

    `tflite_value.transpose(permutation).reshape(onnx_shape)` equals the ONNX value.

    Attributes:
        node: name of the user's node that writes `tensor` (empty for a model input).
        tensor: tensor name in the user's file.
        tflite_tensor: tensor name in the TFLite file, None unless `status` is `mapped`.
        permutation: axes of the TFLite tensor in the order of the ONNX axes.
        evidence: how the candidate was found; the values were compared in either case.
        sqnr_db: agreement of both runtimes on the probe inputs, None unless mapped.
        status: `mapped` only where both runtimes agree on the values.
        reason: why it is not mapped.
    """

    node: str
    tensor: str
    status: PairStatus
    reason: str = ""
    tflite_tensor: str | None = None
    onnx_shape: tuple[int, ...] = ()
    permutation: tuple[int, ...] = ()
    evidence: Evidence = "none"
    sqnr_db: float | None = None


@dataclass(frozen=True, slots=True)
class InputBinding:
    """How a model input of the user is fed to the TFLite file: `value.reshape(onnx_shape).transpose(permutation)`, then cast to `dtype`."""

    onnx_name: str
    tflite_name: str
    onnx_shape: tuple[int, ...]
    permutation: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class TensorMap:
    """Pairs for every tensor that a node of the user's file writes, the model inputs and outputs, and the owner of every TFLite op.

    Attributes:
        pairs: one per node output of the user's file, in its order; also the unmapped ones.
        inputs: how to feed the TFLite file, in the order of its inputs.
        outputs: pairs of the model outputs, in the user's order.
        owners: per operator of the TFLite file the `NodeFacts.name` it belongs to.
        absorbed: `NodeFacts.name` of a node without an op of its own -> names of the nodes whose ops compute it.
    """

    pairs: tuple[TensorPair, ...]
    inputs: tuple[InputBinding, ...]
    outputs: tuple[TensorPair, ...]
    owners: tuple[str, ...]
    absorbed: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """The float TFLite file, proved against onnxruntime."""

    path: Path
    sha256: str
    tensor_map: TensorMap
    log_path: Path
    onnx2tf_version: str


@dataclass(frozen=True, slots=True)
class TensorRange:
    """Calibrated range of one float tensor of the TFLite file, in real units."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Ranges:
    """Calibrated ranges by TFLite tensor name, and the data they came from.

    Attributes:
        tensors: every float activation tensor of the file, model inputs included.
        samples: number of samples seen.
        source: file or description of the data; `synthetic` for random data.
        model_sha256: digest of the float TFLite file the ranges belong to.
        warnings: advice about the data.
        own_sqnr_db: `NodeFacts.name` -> what the node loses by itself, in dB, where that is finite; None when no rule asked for it.
        observer: name of the observer of all tensors that `choices` does not name.
        choices: tensors whose range was made in another way.
    """

    tensors: Mapping[str, TensorRange]
    samples: int
    source: str
    model_sha256: str
    warnings: tuple[Diagnostic, ...] = ()
    own_sqnr_db: Mapping[str, float] | None = None
    observer: str = DEFAULT_OBSERVER
    choices: Mapping[str, RangeChoice] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class OpOutcome:
    """What the quantizer did with one operator of the float file.

    Attributes:
        index: position in the float file.
        op: TFLite operator name, for example `CONV_2D`.
        precision: what it runs in.
        reason: why that differs from what was asked (`no int8 kernel for ...`); empty when it does not.
        quantized_index: position in the quantized file, None when the op is gone.
    """

    index: int
    op: str
    precision: str
    reason: str
    quantized_index: int | None


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """The quantized TFLite file and the precision each operator really has in it."""

    path: Path
    sha256: str
    precision: str
    ops: tuple[OpOutcome, ...]


@dataclass(frozen=True, slots=True)
class JoinedInput:
    """One input of an operator that has one scale for all: user's tensor name, range, and what rounding leaves in that scale and in its own."""

    tensor: str
    minimum: float
    maximum: float
    sqnr_db: float
    own_sqnr_db: float


@dataclass(frozen=True, slots=True)
class MismatchedScales:
    """An operator that ruins one of its inputs by the scale that its wider neighbours need.

    Attributes:
        node: `NodeFacts.name` of the operator's node.
        op: TFLite operator, for example `CONCATENATION`.
        inputs: in the operator's order.
        float_nodes: the nodes that have to be float for the input to keep its values, in execution order; contains `node`.
        at_output: whether the joined values go on to a model output side by side.
    """

    node: str
    op: str
    inputs: tuple[JoinedInput, ...]
    float_nodes: tuple[str, ...]
    at_output: bool


@dataclass(frozen=True, slots=True)
class LayerResult:
    """Errors of one tensor, over all evaluation samples. None = not measured, and `reason` says why; dB values may be `inf`.

    Attributes:
        node: user's node that writes the tensor.
        tensor: user's tensor name.
        tflite_tensor: counterpart in the float TFLite file.
        conversion_sqnr_db: onnxruntime against float TFLite.
        inherited_sqnr_db: onnxruntime against the quantized TFLite, end to end.
        own_sqnr_db: the node's quantized ops alone with float inputs, against float TFLite.
        rmse_over_scale: own error over the output's scale; 0.29 is ideal rounding.
        cosine: inherited.
        max_abs: inherited, in real units.
        metrics: further measurements as (name, value), inherited unless the name says otherwise.
    """

    node: str
    tensor: str
    status: PairStatus
    reason: str = ""
    tflite_tensor: str | None = None
    permutation: tuple[int, ...] = ()
    evidence: Evidence = "none"
    conversion_sqnr_db: float | None = None
    inherited_sqnr_db: float | None = None
    own_sqnr_db: float | None = None
    rmse_over_scale: float | None = None
    cosine: float | None = None
    max_abs: float | None = None
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class OutputResult:
    """Errors of one model output over the evaluation samples.

    top-1 fields are None where the output is not class scores or no labels are known, `conversion_sqnr_db` where no float file was compared.
    """

    name: str
    sqnr_db: float
    cosine: float
    max_abs: float
    conversion_sqnr_db: float | None = None
    top1_agreement: float | None = None
    top1_float: float | None = None
    top1_quantized: float | None = None
