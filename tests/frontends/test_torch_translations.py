from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter as litert
import numpy as np
import pytest

import bridge

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

ACTIVATIONS = (0.03, 5), (0.05, -7)


class Fixed(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """A Linear as quantization-aware training leaves it: int8 in and out, weights per channel in -127..127."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(16, 8)
        self.register_buffer("scales", self.fc.weight.detach().abs().amax(1) / 127)
        self.register_buffer("points", torch.zeros(8, dtype=torch.int32))

    def forward(self, x: Any) -> Any:
        x = torch.fake_quantize_per_tensor_affine(x, *ACTIVATIONS[0], -128, 127)
        weight = torch.fake_quantize_per_channel_affine(self.fc.weight, self.scales, self.points, 0, -127, 127)
        return torch.fake_quantize_per_tensor_affine(nn.functional.linear(x, weight, self.fc.bias), *ACTIVATIONS[1], -128, 127)


def test_fake_quantized_module_becomes_integer_kernels_within_one_step(tmp_path: Path) -> None:
    module = Fixed().eval()
    x = torch.randn(256, 16, generator=torch.Generator().manual_seed(1))
    result = bridge.convert(module, example_inputs=(x,), output_dir=tmp_path / "out", threads=1, compare=False)
    path = result.artifacts["static_wi8_ai8"]
    runner = litert.Interpreter(model_path=str(path), num_threads=1)
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], x.numpy())
    runner.invoke()
    received = runner.get_tensor(runner.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = module(x).numpy()
    steps = np.abs(np.rint((received - expected) / ACTIVATIONS[1][0]))
    assert np.mean(steps <= 1) >= 0.999
    kinds = [one["op_name"] for one in runner._get_ops_details()]
    assert [kind for kind in kinds if kind != "DELEGATE"] == ["QUANTIZE", "FULLY_CONNECTED", "DEQUANTIZE"]
    weight = next(one for one in runner.get_tensor_details() if len(one["quantization_parameters"]["scales"]) == 8 and one["dtype"] == np.int8)
    np.testing.assert_array_equal(weight["quantization_parameters"]["scales"], module.scales.numpy())
