"""The weights of a torch module or a Keras 3 model as NumPy arrays, without importing either."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bridge.clustering import MIN_VALUES
from bridge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight: its name in the framework, how to read it as float32 and how to write it."""

    name: str
    read: Callable[[], np.ndarray]
    write: Callable[[np.ndarray], None]


@runtime_checkable
class TorchModule(Protocol):
    """What is needed of an `nn.Module`."""

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Names and parameters."""

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Names and buffers."""


@runtime_checkable
class KerasModel(Protocol):
    """What is needed of a Keras 3 model or layer."""

    @property
    def trainable_variables(self) -> Sequence[Any]:
        """Keras variables."""


def weights(model: object, skip: Iterable[str]) -> list[Weight]:
    """Matrices and kernels of 64 values or more; not vectors, whatever axes of length one they have.

    Args:
        model: a torch module or a Keras 3 model.
        skip: shell patterns of the names to leave out, `head.*`.

    Raises:
        UsageError: it is neither, nothing is left, or torch's pruning is still active.
    """
    if isinstance(model, TorchModule):
        _refuse_masks(model)
        all_of_them = [_of_torch(name, parameter) for name, parameter in model.named_parameters()]
    elif isinstance(model, KerasModel):
        all_of_them = [_of_keras(variable) for variable in model.trainable_variables]
    else:
        raise UsageError(f"A model must be a torch nn.Module or a Keras 3 model. Received: {type(model).__name__}.")
    patterns = tuple(skip)
    found = [one for one in all_of_them if not any(fnmatchcase(one.name, pattern) for pattern in patterns) and _is_large(one.read())]
    if not found:
        raise UsageError(
            f"The model has no trainable weight of {MIN_VALUES} values or more outside skip={list(patterns)}. "
            f"Received: {', '.join(one.name for one in all_of_them[:8]) or 'no weights'}.",
            hint="Build the model before (call it once), and look at the patterns.",
        )
    return found


def _refuse_masks(model: TorchModule) -> None:
    """`torch.nn.utils.prune` keeps `weight_orig`, which has no zeros, and `weight_mask` until `remove` is called."""
    masks = {name for name, _ in model.named_buffers() if name.endswith("_mask")}
    for name, _ in model.named_parameters():
        plain = name.removesuffix("_orig")
        if plain != name and f"{plain}_mask" in masks:
            raise UsageError(f"{plain}: torch.nn.utils.prune holds its zeros in a mask.", hint="Call torch.nn.utils.prune.remove first.")


def _is_large(value: np.ndarray) -> bool:
    return value.ndim > 1 and value.size >= MIN_VALUES and value.size > max(value.shape)


def _of_torch(name: str, parameter: Any) -> Weight:
    def write(value: np.ndarray) -> None:
        parameter.data.copy_(parameter.data.new_tensor(value))

    return Weight(name, lambda: parameter.detach().float().cpu().numpy(), write)


def _of_keras(variable: Any) -> Weight:
    return Weight(variable.path, lambda: np.asarray(variable.numpy(), np.float32), variable.assign)
