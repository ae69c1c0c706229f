"""Small models with an operator of the domain `my.layers`, and what registers it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from bridge.custom_ops import registered_ops

type Reference = Callable[..., np.ndarray]

SWOOSH = """
<ir_version: 8, opset_import: ["" : 17, "my.layers" : 1]>
g (float[1, 16] x) => (float[1, 4] y) {
    [fc1] a = Gemm(x, w1, b1)
    [act] s = my.layers.Swoosh<gain = 1.5>(a, b1)
    [fc2] y = Gemm(s, w2, b2)
}
"""
SIZES = {"w1": (16, 8), "b1": (8,), "w2": (8, 4), "b2": (4,)}
MODULE = """
import bridge
import numpy as np

def swoosh_numpy(x, bias=None, *, gain=1.0):
    y = x if bias is None else x + bias
    return y / (1 + np.exp(-gain * y))

@bridge.register_op("my.layers", "Swoosh", reference=swoosh_numpy)
def swoosh(build, x, bias=None, *, gain=1.0):
    y = x if bias is None else build.op("Add", x, bias)
    return build.op("Mul", y, build.op("Sigmoid", build.op("Mul", y, gain)))
"""


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with registered_ops():
        yield


def swoosh(x: np.ndarray, bias: np.ndarray | None = None, *, gain: float = 1.0) -> np.ndarray:
    y = x if bias is None else x + bias
    return np.asarray(y / (1 + np.exp(-gain * y)), np.float32)


def model(text: str = SWOOSH, sizes: dict[str, tuple[int, ...]] = SIZES) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    parsed = onnx.parser.parse_model(text)
    for name, size in sizes.items():
        parsed.graph.initializer.append(numpy_helper.from_array(random.standard_normal(size).astype(np.float32), name))
    return parsed


def save(folder: Path, text: str = SWOOSH, sizes: dict[str, tuple[int, ...]] = SIZES, *, shape: tuple[int, ...] = (1, 16)) -> tuple[Path, Path]:
    """The model and samples for it."""
    onnx.save(model(text, sizes), folder / "model.onnx")
    np.savez(os.fspath(folder / "data.npz"), x=np.random.default_rng(1).standard_normal((24, *shape)).astype(np.float32))
    return folder / "model.onnx", folder / "data.npz"
