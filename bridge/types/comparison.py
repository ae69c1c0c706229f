"""What the comparison measured."""

from msgspec import Struct

from bridge.types.conversion import Evidence, PairStatus


class JoinedInput(Struct, frozen=True):
    """One input of an operator that has one scale for all: user's tensor name, range, and what rounding leaves in that scale and in its own."""

    tensor: str
    minimum: float
    maximum: float
    sqnr_db: float
    own_sqnr_db: float


class MismatchedScales(Struct, frozen=True):
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


class SampleError(Struct, frozen=True):
    """Error of one tensor end to end in one sample, by the sample's name."""

    sample: str
    sqnr_db: float


class LayerResult(Struct, frozen=True):
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
        worst_samples: those with the largest error end to end, the worst first.
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
    worst_samples: tuple[SampleError, ...] = ()
    metrics: tuple[tuple[str, float], ...] = ()


class OutputResult(Struct, frozen=True):
    """Errors of one model output over the evaluation samples.

    top-1 fields are None where the output is not class scores or no labels are known, `conversion_sqnr_db` where no float file was compared; that one
    is over 64 of the samples at most, spread evenly.
    """

    name: str
    sqnr_db: float
    cosine: float
    max_abs: float
    conversion_sqnr_db: float | None = None
    top1_agreement: float | None = None
    top1_float: float | None = None
    top1_quantized: float | None = None
