"""The user's model, as loaded and as normalised, and its nodes as rules see them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from bridge.findings import Diagnostic
from bridge.types.basics import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnx_ir as ir

# Runs an ONNX model: input name -> array in, tensor name -> array out.
type Run = Callable[[Mapping[str, "np.ndarray"]], Mapping[str, "np.ndarray"]]
type Confirmation = Callable[[Run], None]

SourceStatus = Literal["kept", "fused", "folded", "constant", "dead"]


class SourceModel(Struct, frozen=True):
    """What a frontend hands on: the user's model as ONNX in memory, or a float TFLite file.

    Attributes:
        proto: the model with its external data inside, or set aside by `bridge.large_weights`; legal enough for onnxruntime; nobody writes to it.
        digest: sha256 of the user's file (external data included).
        path: where it came from, None for a live object.
        framework: `onnx`, `torch`, `keras`, `tensorflow` or `tflite`.
        diagnostics: what loading had to repair.
        confirm: raises ToolError where the ONNX model computes something else than the live model it was exported from; None for files.
        float_file: the float TFLite file that the model is; `proto` is empty then.
        weights: keeps those that were set aside.
    """

    proto: "onnx.ModelProto"
    digest: str
    path: Path | None = None
    framework: str = "onnx"
    diagnostics: tuple[Diagnostic, ...] = ()
    confirm: Confirmation | None = None
    float_file: Path | None = None
    weights: object = None


class TensorStatistics(Struct, frozen=True):
    """What calibration samples say about one float tensor, in real units.

    Attributes:
        minimum: of the calibrated range.
        maximum: likewise.
        half: width of the range between the first and the third quarter of its values, None until that was measured.
        most: width of the range that holds 99.9 % of its values and zero, likewise.
    """

    minimum: float
    maximum: float
    half: float | None = None
    most: float | None = None

    @property
    def width(self) -> float:
        """Of the calibrated range with zero, as integers have to hold it."""
        return max(self.maximum, 0.0) - min(self.minimum, 0.0)


class NodeFacts(Struct, frozen=True):
    """One node of the normalised graph, as rules see it.

    Attributes:
        name: the user's name of the node, unique in the graph; for a fused node the name of its main origin.
        op_type: ONNX operator, for example `LayerNormalization`.
        domain: operator domain, `""` for the standard one.
        patterns: what the node is or is a part of (`layer_norm`, `gelu`, `silu`, `residual_add`, ...) first, then the regions that it lies in
            (`attention`, `detection_tail`, ...); empty if nothing was recognised.
        scope: module path such as `encoder/layer.3`, empty when unknown.
        origins: names of the nodes of the user's file that it stands for, in their order there; contains `name`.
        inputs: tensors read, names as in the user's file where the tensor exists there.
        outputs: tensors written, likewise.
        constant_inputs: positions in `inputs` whose value is known before the model runs.
        attributes: ONNX attributes as Python values (no tensors).
        module_classes: classes of the modules around it as the training code has them (`torch.nn.modules.normalization.LayerNorm`), the outermost
            first; empty where the file does not tell.
        statistics: what calibration samples say about the tensors that it reads and writes, by name; empty before calibration.
        own_sqnr_db: what the node loses by itself when it runs in the default precision on calibration samples; None until that was measured,
            and for nodes that run in float or have no operator of their own.
    """

    name: str
    op_type: str
    domain: str
    patterns: tuple[str, ...]
    scope: str
    origins: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    constant_inputs: tuple[int, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    module_classes: tuple[str, ...] = ()
    statistics: Mapping[str, TensorStatistics] = field(default_factory=lambda: MappingProxyType({}))
    own_sqnr_db: float | None = None


class SourceNode(Struct, frozen=True):
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


class Graph(Struct, frozen=True):
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
        keep_layout: inputs that keep their axes in the TFLite file whatever layout the others get.
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
    keep_layout: frozenset[str] = frozenset()
