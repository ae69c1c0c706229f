"""Faults that conversions and quantizers really make, one at a time in a file that is right: the comparison names the node first."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.errors import ToolError
from bridge.files import write_bytes
from bridge.report.file_comparison import FileComparison
from bridge.tflite import model as tflite
from bridge.types import TensorMap

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from planted_faults import FAULTS, Fault

MODELS = Path(__file__).parents[2] / "models"
FITS = {  # a network of convolutions has no root, a transformer no padding
    "digits_cnn_bn_silu": {"wrong scale", "wrong axis", "swapped layout", "broken row", "shifted bias", "swapped channels", "two scales"},
    "digits_vit": {"wrong scale", "wrong axis", "broken row", "shifted bias", "two scales", "wrong epsilon", "wrong constant"},
}


@pytest.fixture(scope="module", params=FITS)
def right(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Name of a model and the folder of its conversion, all in int8."""
    folder = tmp_path_factory.mktemp("right") / "out"
    source = MODELS / request.param
    bridge.convert(source / "model.onnx", calibration=source / "calibration.npz", rules=(), output_dir=folder, compare=False)
    with np.load(source / "evaluation.npz") as samples:
        np.savez(folder / "eight.npz", **{key: value[::50][:8] for key, value in samples.items()})
    return request.param, folder


def compared(name: str, folder: Path, float_file: Path, quantized: Path) -> FileComparison:
    return bridge.compare(
        MODELS / name / "model.onnx",
        quantized,
        data=folder / "eight.npz",
        tensor_map=folder / "tensor_map.json",
        float_file=float_file,
        layer_samples=4,
    )


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "model.float32.tflite", folder / "model.static_wi8_ai8.tflite"


def test_the_file_that_is_right_has_no_finding_about_a_node(right: tuple[str, Path]) -> None:
    name, folder = right
    found = compared(name, folder, *files(folder))
    assert [finding.code for finding in found.diagnostics if finding.node is not None] == []
    assert all(layer.own_sqnr_db is not None or layer.reason for layer in found.layers)


def writer(tensor_map: TensorMap, float_model: tflite.ModelT, position: int) -> str:
    """The node whose value the operator's result is, where that of its owner does not exist: a Conv with a BatchNormalization folded into it."""
    main = tflite.main_graph(float_model)
    shown = {pair.tflite_tensor: pair.node for pair in reversed(tensor_map.pairs)}
    for op in main.operators[position:]:
        name = tflite.text(main.tensors[int(op.outputs[0])].name)
        if name in shown:
            return shown[name]
    raise AssertionError(f"no operator behind {position} writes a mapped tensor")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            fault,
            id=fault.name,
            marks=[pytest.mark.provokes("broken-constraint")]
            if fault.name == "two scales"
            else [pytest.mark.provokes("parameters-differ")]
            if fault.name == "wrong scale"
            else [],
        )
        for fault in FAULTS
    ],
)
def test_the_node_of_a_fault_is_named_first(right: tuple[str, Path], fault: Fault, tmp_path: Path) -> None:
    name, folder = right
    pair = tuple(tflite.read(path) for path in files(folder))
    places = list(fault.plant(pair))
    assert bool(places) or fault.name not in FITS[name]
    if not places:
        pytest.skip(f"{name} has no place for it")
    tensor_map = read_tensor_map(folder / "tensor_map.json")
    node = tensor_map.owners[places[0]]
    changed = [tmp_path / "float.tflite", tmp_path / "quantized.tflite"]
    for path, model in zip(changed, pair, strict=True):
        write_bytes(path, tflite.serialize(model))
    if fault.name == "two scales":  # LiteRT does not load it at all
        with pytest.raises(ToolError, match=re.escape(f"Node {node!r}")):
            compared(name, folder, *changed)
    else:
        named = [(finding.node, finding.code) for finding in compared(name, folder, *changed).diagnostics if finding.node is not None]
        assert named
        assert named[0][0] in (node, writer(tensor_map, pair[0], places[0]))
