"""The way from a float model to a trained int8 file, by whichever framework the model is of."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridge.conversion_result import ConversionResult
from bridge.errors import UsageError
from bridge.qat.scheme import RangeKind, Scheme

# Framework -> the class of its models, in the module that whoever has a model has loaded, and where its training lives.
BACKENDS = MappingProxyType({"torch": ("nn.Module", "bridge.qat.torch_prepare"), "keras": ("Model", "bridge.qat.keras_prepare")})


def prepare(
    model: Any,
    example_inputs: Any = None,
    *,
    rules: Sequence[str | Path] = ("default",),
    per_channel: bool = True,
    weight_bits: int = 8,
    symmetric: bool = False,
    ranges: RangeKind = "moving_average",
) -> Any:
    """A copy of the model to fine-tune: operators that the rules leave integer round their activations and weights.

    Args:
        model: a trained float model: a PyTorch module, or a Keras 3 model on TensorFlow.
        example_inputs: positional inputs, as a tuple; the first ranges are theirs. PyTorch needs them, and subclassed Keras models; without them the first
            training batch sets the ranges.
        rules: names of packs and paths of rule files.
        per_channel: whether weights have a scale per output channel; clustered weights have one all the same, unless BatchNorm is folded into them.
        weight_bits: of weights, 2 to 8; they are stored as int8.
        symmetric: whether activations have zero point 0.
        ranges: `moving_average`, of what passes in training; or `learned`, step sizes that are trained (LSQ, Esser et al. 2020); in Keras the ends of the
            ranges, by the gradient of TensorFlow's FakeQuant.

    Returns:
        The copy, a model of the same framework.

    Raises:
        UsageError: the model is of no framework that is known here, no operator of it becomes an integer one, or an argument is none of those above.
        UnsupportedModelError: the model cannot be traced or exported.
    """
    return _backend(model).prepare(model, example_inputs, rules=rules, scheme=Scheme(per_channel, weight_bits, symmetric, ranges))


def freeze(model: Any, *, ranges: bool = True, batch_norm: bool = True) -> None:
    """Keeps what training has found, while the weights are trained on.

    Args:
        model: what `prepare` made; changed in place, and its checkpoints hold it.
        ranges: whether the ranges or step sizes stay as they are now.
        batch_norm: whether the statistics of every BatchNorm do; it normalises by them then instead of by the batch. In Keras
            those that are folded never move, and others are left alone.
    """
    _backend(model).freeze(model, ranges=ranges, batch_norm=batch_norm)


def convert(model: Any, example_inputs: Any = None, **options: Any) -> ConversionResult:
    """`bridge.convert` of a trained model that `prepare` made, with its scales.

    Args:
        model: stays as it is.
        example_inputs: of the sizes that the TFLite file shall have. PyTorch needs them.
        options: those of `bridge.convert`.

    Returns:
        What `bridge.convert` returns.
    """
    result: ConversionResult = _backend(model).convert(model, example_inputs, **options)
    return result


def _backend(model: Any) -> Any:
    for framework, (kind, home) in BACKENDS.items():
        found: Any = sys.modules.get(framework)
        for part in kind.split("."):
            found = getattr(found, part, None)
        if found is not None and isinstance(model, found):
            return importlib.import_module(home)
    raise UsageError(
        f"Quantization-aware training knows no model of this kind. Received: {type(model).__name__}.", hint="Give a torch.nn.Module or a Keras model."
    )
