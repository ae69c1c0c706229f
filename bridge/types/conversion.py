"""The float TFLite file, and how its tensors and operators belong to the user's model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

PairStatus = Literal["mapped", "fused", "folded", "constant", "dead", "missing"]
Evidence = Literal["name", "values", "none"]


class TensorPair(Struct, frozen=True):
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


class InputBinding(Struct, frozen=True):
    """How a model input of the user is fed to the TFLite file: `value.reshape(onnx_shape).transpose(permutation)`, then cast to `dtype`."""

    onnx_name: str
    tflite_name: str
    onnx_shape: tuple[int, ...]
    permutation: tuple[int, ...]
    dtype: str


class TensorMap(Struct, frozen=True):
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


class ConvertedModel(Struct, frozen=True):
    """The float TFLite file, proved against onnxruntime."""

    path: Path
    sha256: str
    tensor_map: TensorMap
    onnx2tf_version: str
