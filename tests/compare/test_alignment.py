from pathlib import Path

import pytest
from two_layers import float_file, int8_file, island_file, quantized

from bridge.compare.alignment import aligned
from bridge.compare.attribution import counterparts
from bridge.tflite import model as tflite


@pytest.mark.parametrize("float_layer", [None, 0, 1])
def test_operators_are_paired_in_their_order(tmp_path: Path, float_layer: int | None) -> None:
    path, positions = (
        (int8_file(tmp_path), (1, 2))
        if float_layer is None
        else (island_file(tmp_path, float_layer=float_layer), (0, 2) if float_layer == 0 else (1, 3))
    )
    before, after = tflite.read(float_file(tmp_path)), tflite.read(path)
    assert aligned(before, after) == counterparts(before, after, quantized(path, positions).ops)


def test_files_with_other_operators_are_not_paired(tmp_path: Path) -> None:
    before, after = tflite.read(float_file(tmp_path)), tflite.read(int8_file(tmp_path))
    tflite.main_graph(after).operators.pop(1)
    assert aligned(before, after) is None
