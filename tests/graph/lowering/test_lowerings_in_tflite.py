"""What the lowerings are for: onnx2tf converts all the constructs, and LiteRT computes what onnxruntime computes."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser
from onnx_text import Normalize, sizes

from bridge.convert import onnx2tf_process
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

RANDOM = np.random.default_rng(11)
LEAST_DB = 80  # two float32 runtimes with their own kernels
# Output -> its node; x [1, 3, 4, 5], m [2, 8], q [4, 1, 3] and the states are inputs.
BODY = {
    "split_a, split_b, split_c": "Split<axis = 1, num_outputs = 3>(m7)",
    "flipped": "Slice(x, minus, lowest, last, minus)",
    "padded": "Pad(x, pads2, , axes)",
    "wrapped": 'Pad<mode = "wrap">(x, pads8)',
    "elu": "Elu<alpha = 0.3>(x)",
    "prelu": "PRelu(x, slope)",
    "l1": "LpNormalization<p = 1, axis = 1>(x)",
    "shifted": 'Conv<auto_pad = "SAME_LOWER">(x, filter)',
    "one": "Max(elu)",
    "picked": "GatherND(m, where)",
    "turned": "Gemm<transA = 1>(m, tall)",
    "biased": "Gemm(m, wide, bias)",
    "contracted": 'Einsum<equation = "nchw,kc->nkhw">(x, mix)',
    "traced": 'Einsum<equation = "nchw->nc">(x)',
    "near": 'Resize<mode = "nearest">(x, , , odd)',
    "corners": 'Resize<mode = "nearest", coordinate_transformation_mode = "align_corners">(x, , , odd)',
    "fraction": 'Resize<mode = "linear">(x, , scales)',
    "cubic": 'Resize<mode = "cubic", antialias = 1>(x, , , small)',
    "chosen": 'Resize<mode = "linear", axes = [3, 2]>(x, , , two)',
    "gru": "GRU<hidden_size = 5>(q, gw, gr, gb)",
    "lstm, lstm_h, lstm_c": "LSTM<hidden_size = 5>(q, lw, lr, lb, , h0, c0)",
    "unused, final": "LSTM<hidden_size = 5>(q, lw, lr, lb)",
    "group": "GroupNormalization<num_groups = 1>(x, ones1, zeros1)",
    "left": "MatMul(rows, x)",
    "none": "Sub(m, m)",
    "least": "Clip(none, tiny)",
    "defined": "Div(none, least)",
}
CONSTANTS = {
    "minus": np.array([-1]), "lowest": np.array([-(2**60)]), "last": np.array([3]), "pads2": np.array([1, 2, 2, 1]), "axes": np.array([2, 3]),
    "pads8": np.array([0, 0, 1, 2, 0, 0, 2, 1]), "where": np.array([[0, 1], [1, -1]]), "odd": np.array([1, 3, 7, 9]), "small": np.array([1, 3, 2, 3]),
    "two": np.array([7, 6]), "scales": np.array([1, 1, 1.3, 1.3], np.float32), "ones1": np.ones(1, np.float32), "zeros1": np.zeros(1, np.float32),
    "tiny": np.array(1e-9, np.float32), "seven": np.array([7]), "zero": np.array([0]), "one1": np.array([1]),
    **{name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in {
        "slope": (3, 4, 5), "filter": (2, 3, 2, 2), "tall": (2, 6), "wide": (8, 6), "bias": (2, 6), "mix": (6, 3), "rows": (6, 4),
        "gw": (1, 15, 3), "gr": (1, 15, 5), "gb": (1, 30), "lw": (1, 20, 3), "lr": (1, 20, 5), "lb": (1, 40),
    }.items()},
}  # fmt: skip
INPUTS = {"x": (1, 3, 4, 5), "m": (2, 8), "q": (4, 1, 3), "h0": (1, 1, 5), "c0": (1, 1, 5)}


def text() -> str:
    outputs = [name for names in BODY for name in names.split(", ") if name != "unused"]
    declared = ", ".join(f"float{list(shape)} {name}" for name, shape in INPUTS.items())
    nodes = " ".join(f"{names} = {call}" for names, call in BODY.items())
    return f"({declared}) => ({', '.join(f'float {name}' for name in outputs)}) {{ m7 = Slice(m, zero, seven, one1) {nodes} }}"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnx2tf") is None, reason="onnx2tf is not installed")
def test_every_construct_survives_the_converter(normalized: Normalize, tmp_path: Path) -> None:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> g {text()}')
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in CONSTANTS.items())
    result = normalized(model)
    assert result.worst_sqnr_db() > 100
    graph = result.graph
    ir.save(graph.model, tmp_path / "model.onnx")
    keep = [str(value.name) for value in graph.model.graph.inputs]
    written = onnx2tf_process.run(tmp_path / "model.onnx", keep_inputs=keep, options=onnx2tf_process.Onnx2tfOptions(tmp_path / "log"))
    operators = [tflite.op_name(tflite.read(written), op) for op in tflite.main_graph(tflite.read(written)).operators]
    assert not [name for name in operators if name.startswith(("CUSTOM", "BATCH_MATMUL"))]
    feeds = result.feeds()
    interpreter = Interpreter(written)
    received = interpreter.run({spec.name: feeds[graph.tensor_names[spec.name]].reshape(sizes(spec)) for spec in interpreter.inputs})
    expected = result.reference(feeds)
    poor = {}
    for spec, array in zip(interpreter.outputs, received, strict=True):
        name = graph.tensor_names[spec.name]
        found = max(result.sqnr_db(expected[name], candidate) for candidate in (array, *_layouts(array, expected[name].shape)))
        if not found >= LEAST_DB:  # NaN as well
            poor[name] = found
    assert not poor
    assert len(received) == len(graph.outputs)


def _layouts(array: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The array with its channels in front, where that gives the wanted shape."""
    moved = np.moveaxis(array, -1, 1) if array.ndim > 2 else array
    return [moved] if moved.shape == shape else []
