"""Ranges, and the quantized TFLite file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, field

from bridge.findings import Diagnostic
from bridge.observer_names import DEFAULT_OBSERVER
from bridge.types.rulings import RangeChoice


class TensorRange(Struct, frozen=True):
    """Calibrated range of one float tensor of the TFLite file, in real units."""

    minimum: float
    maximum: float


class StoredAs(Struct, frozen=True):
    """How a quantized model stores a tensor: `real = scale * (stored - zero_point)`.

    Attributes:
        type: element type: `INT4`, `INT8`, `INT16`, `INT32`, or an unsigned one of the ONNX file.
        scales: one, or one per index of `axis`; float32 values.
        zero_points: as many as scales.
        axis: channel axis of the tensor in the user's file.
    """

    type: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


class QuantizedSource(Struct, frozen=True):
    """What a model with QuantizeLinear and DequantizeLinear says about itself, in the names of its tensors and nodes.

    Attributes:
        activations: how each quantized activation is stored, in a signed type.
        weights: node -> how its weight is stored, likewise.
        integer_nodes: the nodes that compute on integers; the others are float in the file.
        diagnostics: what cannot be kept as it is.
    """

    activations: Mapping[str, StoredAs]
    weights: Mapping[str, StoredAs]
    integer_nodes: frozenset[str]
    diagnostics: tuple[Diagnostic, ...] = ()


class Spread(Struct, frozen=True):
    """Where most values of a tensor lie: `half` is the width between the first and the third quarter, `most` that of 99.9 % of them and zero."""

    half: float
    most: float


class Ranges(Struct, frozen=True):
    """Calibrated ranges by TFLite tensor name, and the data they came from.

    Attributes:
        tensors: every float activation tensor of the file, model inputs included.
        samples: number of samples seen.
        source: file or description of the data; `synthetic` for random data.
        model_sha256: digest of the float TFLite file the ranges belong to.
        warnings: advice about the data.
        own_sqnr_db: `NodeFacts.name` -> what the node loses by itself, in dB, where that is finite; None when no rule asked for it.
        spreads: likewise where the values of each tensor lie, by TFLite tensor name; None when no rule asked for it.
        observer: name of the observer of all tensors that `choices` does not name.
        choices: tensors whose range was made in another way.
        growth: width of the range after each quarter of the samples, as a share of the final width, by TFLite tensor name; empty for ranges from a file.
    """

    tensors: Mapping[str, TensorRange]
    samples: int
    source: str
    model_sha256: str
    warnings: tuple[Diagnostic, ...] = ()
    own_sqnr_db: Mapping[str, float] | None = None
    spreads: Mapping[str, Spread] | None = None
    observer: str = DEFAULT_OBSERVER
    choices: Mapping[str, RangeChoice] = field(default_factory=lambda: MappingProxyType({}))
    growth: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))


class OpOutcome(Struct, frozen=True):
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


class QuantizedModel(Struct, frozen=True):
    """The quantized TFLite file and the precision each operator really has in it."""

    path: Path
    sha256: str
    precision: str
    ops: tuple[OpOutcome, ...]
