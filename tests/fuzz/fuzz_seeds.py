"""Sound files for every loader, which the fuzzer damages; all small, none from elsewhere."""

import functools
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests" / "conformance"), str(ROOT / "tests" / "graph")]

from cases import CASES  # noqa: E402  # the path above
from one_op import OneOp, calibrate, quantized  # noqa: E402
from spelled_texts import BY_HAND, CONTRIB, source  # noqa: E402

from bridge.tflite import model as tflite  # noqa: E402

FRAMEWORKS = {"keras": "tensorflow_export", "torch": "torch_export"}  # loaders that need an extra, and our module behind them
MAX_BYTES = 60_000  # of a seed; more bytes only make a hit on a field less likely
PRECISIONS = ("static_wi8_ai8", "static_wi8_ai16", "dynamic_wi8_afp32")
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float["N", 3, 8, 8] x) => (float["N", 4] y) <int64[1] minus = {-1}>
{
    c = Conv<pads = [0, 0, 0, 0], strides = [2, 2]>(x, w)
    r = Resize<mode = "linear">(c, , scales)
    p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    s = Shape(p)
    zero = Constant<value_int = 0>()
    n = Gather(s, zero)
    axes = Constant<value_ints = [0]>()
    m = Unsqueeze(n, axes)
    target = Concat<axis = 0>(m, minus)
    f = Reshape(p, target)
    y = MatMul(f, v)
}
"""
CONTROL_FLOW = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2, 3] x) => (float[2, 3] y) <int64 n = {3}, bool go = {1}, bool yes = {1}>
{
    l = Loop<body = b (int64 i, bool c, float[2, 3] v) => (bool d, float[2, 3] w) { d = Identity(c) w = Add(v, v) }>(n, go, x)
    y = If<then_branch = t () => (float[2, 3] p) { p = Relu(l) }, else_branch = e () => (float[2, 3] q) { q = Neg(l) }>(yes)
}
"""
SMALL = '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 3] x) => (float[1, 3] y) { h = Relu(x) s = Sigmoid(h) y = Mul(h, s) }'
QUANTIZED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 4] x) => (float[1, 4] y) <float s = {0.1}, int8 z = {3}, int8 o = {0}>
{
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    w = DequantizeLinear(k, s, o)
    m = MatMul(d, w)
    p = QuantizeLinear(m, s, z)
    y = DequantizeLinear(p, s, z)
}
"""


@dataclass(frozen=True)
class Seed:
    """A sound file: what it is called, what it holds, which of MUTATIONS damage it; sound files that lie beside it, by name."""

    name: str
    suffix: str
    content: bytes
    damage: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


def onnx_texts() -> list[onnx.ModelProto]:
    """A convolutional net with shape arithmetic, control flow, a quantized net."""
    models = [onnx.parser.parse_model(text) for text in (TEXT, CONTROL_FLOW, QUANTIZED)]
    weights = {"w": np.full((4, 3, 3, 3), 0.5), "v": np.full((36, 4), 0.5), "scales": np.array([1.0, 1.0, 2.0, 2.0])}
    models[0].graph.initializer.extend(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items())
    models[2].graph.initializer.append(numpy_helper.from_array(np.eye(4, dtype=np.int8), "k"))
    return models


def onnx_seeds() -> list[Seed]:
    """Those texts, every spelling of every pattern, the exported models that onnx ships."""
    models = [*onnx_texts(), *(source(*text).proto for text in (*BY_HAND.values(), *CONTRIB.values()))]
    shipped = sorted(path for path in (Path(onnx.__file__).parent / "backend/test/data").glob("*/*/model.onnx") if path.stat().st_size < MAX_BYTES)
    return [Seed(f"text {place}", ".onnx", model.SerializeToString(), "onnx") for place, model in enumerate(models)] + [
        Seed(path.parent.name, ".onnx", path.read_bytes(), "onnx") for path in shipped
    ]


def tflite_seeds(folder: Path) -> list[Seed]:
    """One file for every operator and precision that the quantizer has a kernel for, and the float files they are made of."""
    seeds = []
    for case in CASES[::3]:  # what is left out differs in its data alone
        content = case.model.build()
        beside = {"float.tflite": content, "data.npz": packed({name: value[:2] for name, value in _stacked(case.model).items()})}
        seeds.append(Seed(f"{case.id} float32", ".tflite", content, "tflite", beside))
        ranges = calibrate(content, case.model.samples())
        for precision in PRECISIONS if case.model.op not in {seed.name.split(" ")[0] for seed in seeds[:-1]} else PRECISIONS[:1]:
            if precision not in case.refused:
                made = tflite.serialize(quantized(content, ranges, folder, precision)[0])
                seeds.append(Seed(f"{case.id} {precision}", ".tflite", made, "tflite", beside))
    return [seed for seed in seeds if len(seed.content) < MAX_BYTES]


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # savez takes arrays by name
    return buffer.getvalue()


def _stacked(model: OneOp) -> Mapping[str, np.ndarray]:
    return {f"in{position}": value for position, value in model.feeds.items()}


def array_seeds() -> list[Seed]:
    """Every way that NumPy writes arrays, samples for the [1, 3] input of SMALL."""
    x, seeds = np.arange(24, dtype=np.float32).reshape(8, 3), []
    beside = {"model.onnx": onnx.parser.parse_model(SMALL).SerializeToString()}
    for name, save, order in (("stored", np.savez, "C"), ("packed", np.savez_compressed, "C"), ("fortran", np.savez_compressed, "F")):
        buffer = io.BytesIO()
        save(buffer, x=np.asarray(x, order=order), labels=np.arange(8))  # type: ignore[call-overload]  # order is one of its letters
        seeds.append(Seed(name, ".npz", buffer.getvalue(), "arrays", beside))
    buffer = io.BytesIO()
    np.save(buffer, x)
    return [*seeds, Seed("npy", ".npy", buffer.getvalue(), "array", beside)]


def rule_seeds() -> list[Seed]:
    """The packs that ship with the project."""
    beside = {"model.onnx": onnx.parser.parse_model(SMALL).SerializeToString()}
    return [Seed(path.stem, ".toml", path.read_bytes(), "text", beside) for path in sorted((ROOT / "exclusion_rules").glob("*.toml"))]


def report_seeds() -> list[Seed]:
    """The report of the snapshots."""
    return [Seed("report", ".json", (ROOT / "tests/snapshots/report.json").read_bytes(), "text")]


RANGES = {
    "schema_version": 1, "model_sha256": "0" * 64, "samples": 8, "source": "calibration.npz", "warnings": [], "tensors": {"x": [-1.0, 1.0], "y": [0.0, 6.0]},
    "own_sqnr_db": {"n": 30.0}, "spreads": {"x": [0.1, 0.9]}, "observer": "min_max", "choices": {"x": {"fixed": [-1.0, 1.0]}},
}  # fmt: skip
PAIR = {"node": "n", "tensor": "out0", "status": "mapped", "tflite_tensor": "out0", "onnx_shape": [2, 3], "permutation": [0, 1], "evidence": "values", "sqnr_db": 90.0}  # fmt: skip
BINDING = {"onnx_name": "in0", "tflite_name": "in0", "onnx_shape": [2, 3], "permutation": [0, 1], "dtype": "float32"}
TENSOR_MAP = {
    "schema_version": 1, "model_sha256": "0" * 64, "pairs": [PAIR], "inputs": [BINDING, BINDING | {"onnx_name": "in1", "tflite_name": "in1"}],
    "outputs": [PAIR], "owners": ["n"], "absorbed": {},
}  # fmt: skip
PREPROCESSING = b'base = "imagenet"\nsize = [192, 256]\nresize = "letterbox"\ncrop = 0.9\nscale = "1/255"\nmean = [0.5, 0.5, 0.5]\nlayout = "nchw"\n'
SETTINGS = b'precision = "static_wi8_ai8"\nrules = ["transformer"]\nno-recover = true\ninput = ["x=1x3"]\ngate = ["sqnr>=25"]\nthreads = 1\n'


def note_seeds() -> list[Seed]:
    """The small files beside a model, by the loader that reads them."""
    model = {"model.onnx": onnx.parser.parse_model(SMALL).SerializeToString()}
    case = next(case.model for case in CASES if case.model.op == "ADD" and len(case.model.feeds) == 2)
    files = {"float.tflite": case.build(), "data.npz": packed(_stacked(case))}
    return [
        Seed("ranges", ".json", json.dumps(RANGES, indent=1).encode(), "text"),
        Seed("tensor_map", ".json", json.dumps(TENSOR_MAP, indent=1).encode(), "text", files),
        Seed("preprocessing", ".toml", PREPROCESSING, "text"),
        Seed("settings", ".toml", SETTINGS, "text", model),
    ]


def framework_seeds(framework: str, folder: Path) -> list[Seed]:
    """Files that the framework writes, which has to be installed."""
    place = folder / framework
    place.mkdir(exist_ok=True)
    subprocess.run([sys.executable, Path(__file__).with_name("fuzz_framework_seeds.py"), framework, place], check=True, capture_output=True)
    return [Seed(path.name, path.suffix, path.read_bytes(), "framework") for path in sorted(place.iterdir())]


@functools.cache
def seeds(loader: str, folder: Path) -> list[Seed]:
    """Sound files of a loader; `folder` is written to."""
    makers = {"onnx": onnx_seeds, "arrays": array_seeds, "rules": rule_seeds, "report": report_seeds, "notes": note_seeds}
    if loader in FRAMEWORKS:
        return framework_seeds(loader, folder)
    return tflite_seeds(folder) if loader == "tflite" else makers[loader]()
