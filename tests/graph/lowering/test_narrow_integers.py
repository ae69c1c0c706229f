"""Plain int8 arithmetic is done in int32."""

import numpy as np
import pytest
from onnx_text import Normalize, Normalized

LIMITS = {"int8": (-128, 128), "uint8": (0, 256), "int16": (-32768, 32768), "uint16": (0, 65536), "uint32": (0, 2**31)}


@pytest.mark.parametrize("dtype", sorted(LIMITS))
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Max", "Greater", "Equal"])
def test_results_wrap_around_as_before(normalized: Normalize, dtype: str, op_type: str) -> None:
    written = "bool" if op_type in ("Greater", "Equal") else dtype
    result = normalized(f"({dtype}[64] x, {dtype}[64] z) => ({written}[64] y) {{ [op] y = {op_type}(x, z) }}")
    random = np.random.default_rng(13)
    feeds = {name: random.integers(*LIMITS[dtype], 64).astype(dtype) for name in ("x", "z")}
    feeds["z"][:8] = feeds["x"][:8]
    if dtype in ("uint16", "uint32", "int16"):
        feeds = {name: array % 180 for name, array in feeds.items()}  # onnxruntime has no kernel for all of them; numpy is the judge
    assert "Cast" in result.ops
    assert (result.node("op").op_type, result.graph.outputs[0].dtype) == (op_type, written)
    candidate = _candidate(result, feeds)
    judge = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Greater": np.greater, "Equal": np.equal}[op_type]
    np.testing.assert_array_equal(candidate, judge(feeds["x"], feeds["z"]))


def _candidate(result: Normalized, feeds: dict[str, np.ndarray]) -> np.ndarray:
    import onnx_ir as ir
    import onnxruntime as ort

    session = ort.InferenceSession(ir.to_proto(result.graph.model).SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.parametrize("dtype", ["float", "int32", "int64"])
def test_wide_types_stay(normalized: Normalize, dtype: str) -> None:
    assert normalized(f"({dtype}[4] x, {dtype}[4] z) => ({dtype}[4] y) {{ y = Add(x, z) }}").ops == ["Add"]


def test_an_image_of_bytes_may_be_cast(normalized: Normalize) -> None:
    text = "(uint8[1, 4, 4, 3] x) => (float[1, 4, 4, 3] y) { t = Cast<to = 1>(x) y = Mul(t, s) }"
    assert normalized(text, constants={"s": np.float32(1 / 255)}).ops == ["Cast", "Mul"]
