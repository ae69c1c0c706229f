"""The failures that people ask about when they convert PyTorch models: each ends in one sentence, with the submodule, the line and what to do."""

from collections.abc import Callable

import numpy as np
import pytest

from bridge.errors import BridgeError
from bridge.sources import open_model, open_reference

pytest.importorskip("torch")
import torch
from torch import nn


class NumberOut(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Returns how many rows it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> object:
        return self.fc(x), len(x)


class CountingLoop(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Goes on as often as its data say."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(int(x.abs().sum().item())):
            x = self.fc(x)
        return x


class Choice(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Decides by its data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Around(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """A module in a module in a module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"block": nn.Sequential(nn.Linear(4, 4), inner)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder["block"](x)


def failure(module: nn.Module, example: object) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        open_model(module, input_shapes={}, example_inputs=(example,))
    return caught.value


X = torch.ones(2, 4)


@pytest.mark.provokes("no-tensor-output")
def test_a_forward_that_returns_a_number_is_told_to_return_tensors() -> None:
    error = failure(NumberOut(), X)
    assert (error.code, error.exit_code) == ("no-tensor-output", 3)
    assert error.message == "NumberOut: forward has to return tensors and nothing else. Received: int among 1 tensors."
    assert ".item()" in error.hint


@pytest.mark.provokes("no-weights")
def test_a_module_on_the_meta_device_has_no_weights() -> None:
    error = failure(nn.Linear(4, 4, device="meta"), X)
    assert (error.code, error.exit_code) == ("no-weights", 2)
    assert "2 weights are on the meta device and have no values: 'weight', 'bias'" in error.message


@pytest.mark.provokes("module-fails")
@pytest.mark.parametrize(
    ("make", "example", "place", "hint"),
    [
        (lambda: Around(nn.Identity()), np.ones((2, 4)), "in 'encoder.block.0' (Linear)", "x.astype(numpy.float32)"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), torch.ones(1, 8, 8, 3), "in '0' (Conv2d)", "array.transpose(0, 3, 1, 2)"),
        (lambda: Around(nn.Linear(5, 4)), X, "in 'encoder.block.1' (Linear)", "Run the module on the same inputs yourself"),
    ],
    ids=["float64 input", "NHWC input", "a size that does not fit"],
)
def test_examples_that_do_not_fit_name_the_submodule(make: Callable[[], nn.Module], example: object, place: str, hint: str) -> None:
    error = failure(make(), example)
    assert (error.code, error.exit_code) == ("module-fails", 2)
    assert place in error.message
    assert hint in error.hint


def test_the_line_of_the_user_is_told() -> None:
    assert '`return self.encoder["block"](x)`' in failure(Around(nn.Linear(5, 4)), X).message


@pytest.mark.provokes("data-dependent-code")
@pytest.mark.parametrize(
    ("inner", "line"), [(CountingLoop, "`for _ in range(int(x.abs().sum().item())):`"), (Choice, "`return x if x.sum() > 0 else -x`")]
)
def test_code_that_depends_on_data_names_submodule_and_line(inner: type[nn.Module], line: str) -> None:
    error = failure(Around(inner()), X)
    assert (error.code, error.exit_code) == ("data-dependent-code", 3)
    assert f"in 'encoder.block.1' ({inner.__name__}) at test_classic_torch.py:" in error.message
    assert line in error.message
    assert "torch.where" in error.hint


def test_batch_norm_and_dropout_in_training_mode_are_exported_as_for_inference() -> None:
    module = Around(nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))).train()
    opened = open_model(module, input_shapes={}, example_inputs=(X,))
    assert module.training
    assert "Dropout" not in {node.op_type for node in opened.graph.nodes}


class BatchStatistics(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """Normalises with the statistics of the batch, whatever its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True)


@pytest.mark.provokes("export-differs")
def test_batch_norm_that_is_always_in_training_mode_is_no_silent_difference() -> None:
    opened = open_model(BatchStatistics(), input_shapes={}, example_inputs=(torch.arange(8.0).reshape(2, 4),))
    with pytest.raises(BridgeError, match="computes something else than the module") as caught:
        open_reference(opened.reference, threads=1)
    assert caught.value.code == "export-differs"
    assert "batch statistics" in caught.value.hint


def test_dropout_that_is_always_on_is_training() -> None:
    class Noisy(nn.Module):  # type: ignore[misc]  # torch is not typed here
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x, 0.5, training=True)

    assert failure(Noisy(), X).code == "training"


def test_a_module_inside_a_module_keeps_its_path() -> None:
    opened = open_model(Around(nn.Sigmoid()), input_shapes={}, example_inputs=(X,))
    assert {node.scope for node in opened.graph.nodes} >= {"encoder.block/0", "encoder.block/1"}
