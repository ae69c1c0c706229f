"""Which classes of torch.nn a node looks like, for files that do not name the classes of their modules."""

from collections.abc import Mapping
from types import MappingProxyType

from bridge.rules.matcher import STANDARD_DOMAINS
from bridge.types import NodeFacts

# Classes by pattern and by operator. A class stands here only where its module becomes that and little else does: Relu may also have been F.relu,
# which is the same arithmetic, but a user's own class is never told.
_BY_PATTERN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "layer_norm": ("LayerNorm",),
        "rms_norm": ("RMSNorm",),
        "group_norm": ("GroupNorm",),
        "instance_norm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
        "batch_norm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
        "gelu": ("GELU",),
        "silu": ("SiLU",),
        "mish": ("Mish",),
        "hard_swish": ("Hardswish",),
        "softmax": ("Softmax",),
        "masked_softmax": ("Softmax",),
        "log_softmax": ("LogSoftmax",),
        "hard_sigmoid": ("Hardsigmoid",),
        "elu": ("ELU",),
        "selu": ("SELU",),
        "celu": ("CELU",),
    }
)
_BY_PLACE: Mapping[str, tuple[str, ...]] = MappingProxyType({"attention": ("MultiheadAttention",)})
_BY_OPERATOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "LayerNormalization": ("LayerNorm",),
        "BatchNormalization": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
        "DepthToSpace": ("PixelShuffle",),
        "Elu": ("ELU",),
        "Gelu": ("GELU",),
        "GlobalAveragePool": ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"),
        "GroupNormalization": ("GroupNorm",),
        "GRU": ("GRU",),
        "HardSigmoid": ("Hardsigmoid",),
        "HardSwish": ("Hardswish",),
        "InstanceNormalization": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
        "LeakyRelu": ("LeakyReLU",),
        "LogSoftmax": ("LogSoftmax",),
        "LSTM": ("LSTM",),
        "Mish": ("Mish",),
        "PRelu": ("PReLU",),
        "Relu": ("ReLU",),
        "Resize": ("Upsample",),
        "RMSNormalization": ("RMSNorm",),
        "RNN": ("RNN",),
        "Selu": ("SELU",),
        "Sigmoid": ("Sigmoid",),
        "Softmax": ("Softmax",),
        "Swish": ("SiLU",),
        "Tanh": ("Tanh",),
    }
)
_BY_AXES: Mapping[str, str] = MappingProxyType({"Conv": "Conv", "ConvTranspose": "ConvTranspose", "MaxPool": "MaxPool", "AveragePool": "AvgPool"})
_LINEAR = frozenset({"Gemm", "MatMul"})
_TABLE_INPUT, _WEIGHT_INPUT = 0, 1


def classes_of(node: NodeFacts) -> tuple[str, ...]:
    """Names of the classes of torch.nn that the node may be a module of; empty where none is likely."""
    around = tuple(name for pattern in node.patterns for name in _BY_PLACE.get(pattern, ()))
    own = tuple(name for pattern in node.patterns for name in _BY_PATTERN.get(pattern, ()))
    return (*around, *(own or _by_operator(node)))


def _by_operator(node: NodeFacts) -> tuple[str, ...]:
    if node.domain not in STANDARD_DOMAINS:
        return ()
    if node.op_type in _BY_AXES:
        axes = len(node.outputs[0].shape) - 2 if node.outputs else 0  # without batch and channels
        return (f"{_BY_AXES[node.op_type]}{axes}d",) if axes > 0 else ()
    if node.op_type in _LINEAR:
        return ("Linear",) if _WEIGHT_INPUT in node.constant_inputs else ()
    if node.op_type == "Gather":
        return ("Embedding",) if _TABLE_INPUT in node.constant_inputs else ()
    return _BY_OPERATOR.get(node.op_type, ())
