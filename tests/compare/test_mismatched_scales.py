from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from test_outputs import Data
from two_layers import Builder

from bridge.compare import find_mismatched_scales
from bridge.quantize import JOINING, quantize
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, InputBinding, MismatchedScales, NodeFacts, Ranges, TensorMap, TensorRange, TensorSpec

INT8 = "static_wi8_ai8"
RNG = np.random.default_rng(4)
SIZE = 64
X = RNG.uniform(-1.0, 1.0, (6, 1, SIZE)).astype(np.float32)

OPTIONS = {"CONCATENATION": "ConcatenationOptions", "ADD": "AddOptions", "MAXIMUM": "MaximumMinimumOptions"}
FUNCTIONS: Mapping[str, Callable[..., np.ndarray]] = {
    "CONCATENATION": lambda *parts: np.concatenate(parts, axis=-1),
    "ADD": np.add,
    "MAXIMUM": np.maximum,
    "RELU": lambda value: np.maximum(value, 0.0),
    "LOGISTIC": lambda value: 1.0 / (1.0 + np.exp(-value)),
}

type Line = tuple[str, str, tuple[str, ...], str]  # node, TFLite operator, tensors read, tensor written


def check(
    folder: Path, lines: Sequence[Line], gains: Mapping[str, float], *, outputs: Sequence[str] = ("y",), floats: Sequence[str] = ()
) -> tuple[MismatchedScales, ...]:
    """Branches `x * gain` by name, and behind them the given operators; all in int8 but the nodes in `floats`."""
    build, width = Builder(), {"x": SIZE}
    tensors = {"x": build.tensor("x", (1, SIZE))}
    values = {"x": X}
    owners = []
    for name, gain in gains.items():
        tensors[name] = build.tensor(name, (1, SIZE))
        build.op("MUL", [tensors["x"], build.constant(f"{name}_gain", np.full((1, SIZE), gain, np.float32))], [tensors[name]])
        tflite.set_options(build.graph.operators[-1], "MulOptions")
        values[name], width[name] = X * np.float32(gain), SIZE
        owners.append(f"make_{name}")
    for node, op, read, written in lines:
        joins = op == "CONCATENATION"
        width[written] = sum(width[one] for one in read) if joins else width[read[0]]
        tensors[written] = build.tensor(written, (1, width[written]))
        build.op(op, [tensors[one] for one in read], [tensors[written]])
        if op in OPTIONS:
            tflite.set_options(build.graph.operators[-1], OPTIONS[op], **({"axis": 1} if joins else {}))
        values[written] = FUNCTIONS[op](*(values[one] for one in read))
        owners.append(node)
    path = build.save(folder / "float.tflite", [tensors["x"]], [tensors[name] for name in outputs])
    ranges = Ranges(MappingProxyType({name: TensorRange(float(value.min()), float(value.max())) for name, value in values.items()}), 6, "test", "")
    binding = InputBinding("x", "x", (1, SIZE), (0, 1), "float32")
    converted = ConvertedModel(path, "", TensorMap((), (binding,), (), tuple(owners), MappingProxyType({})), "")
    asked = ["float32" if owner in floats else INT8 for owner in owners]
    quantized = quantize(path, folder / "int8.tflite", ranges=ranges, op_precisions=asked)
    nodes = tuple(
        NodeFacts(
            node,
            op,
            "",
            (),
            "",
            (node,),
            tuple(TensorSpec(f"user_{one}", (1,), "float32") for one in read),
            (TensorSpec(written, (1,), "float32"),),
        )
        for node, op, read, written in lines
    )
    rewritten = tflite.read(quantized.path), quantized.ops
    return find_mismatched_scales(converted, rewritten, nodes, ranges, Data(X), joining=JOINING, count=4, threads=1)


JOIN: Line = ("cat", "CONCATENATION", ("wide", "small"), "y")


def test_an_input_that_a_wide_neighbour_drowns_is_found_with_what_it_loses(tmp_path: Path) -> None:
    (found,) = check(tmp_path, [JOIN], {"wide": 600.0, "small": 1.0})
    assert (found.node, found.op, found.float_nodes, found.at_output) == ("cat", "CONCATENATION", ("cat",), True)
    wide, small = found.inputs
    assert (wide.tensor, small.tensor) == ("user_wide", "user_small")
    assert small.minimum == pytest.approx(-1, abs=0.02)
    assert small.maximum == pytest.approx(1, abs=0.02)
    assert small.sqnr_db == pytest.approx(0.0, abs=0.5)  # a step of 4.7: every value becomes 0
    assert small.own_sqnr_db == pytest.approx(20 * np.log10(255), abs=1.0)  # uniform values: 6.02 dB per bit
    assert wide.sqnr_db == pytest.approx(wide.own_sqnr_db, abs=0.1)


def test_inputs_of_like_size_are_no_finding(tmp_path: Path) -> None:
    assert check(tmp_path, [JOIN], {"wide": 4.0, "small": 1.0}) == ()


@pytest.mark.parametrize(("ratio", "findings"), [(8.0, 0), (30.0, 1)])
def test_at_an_output_an_input_has_to_keep_20_db(tmp_path: Path, ratio: float, findings: int) -> None:
    assert len(check(tmp_path, [JOIN], {"wide": ratio, "small": 1.0})) == findings  # 48.1 dB - 20 log10(ratio)


def test_a_sum_has_a_scale_per_input_and_is_no_finding(tmp_path: Path) -> None:
    assert check(tmp_path, [("add", "ADD", ("wide", "small"), "y")], {"wide": 600.0, "small": 1.0}) == ()


def test_a_maximum_joins_as_well(tmp_path: Path) -> None:
    (found,) = check(tmp_path, [("max", "MAXIMUM", ("wide", "small"), "y")], {"wide": 600.0, "small": 1.0})
    assert found.op == "MAXIMUM"


def test_a_float_join_is_no_finding(tmp_path: Path) -> None:
    assert check(tmp_path, [JOIN], {"wide": 600.0, "small": 1.0}, floats=("cat",)) == ()


def test_what_stays_float_goes_as_far_as_the_values_lie_side_by_side(tmp_path: Path) -> None:
    lines: list[Line] = [
        ("cat", "CONCATENATION", ("wide", "small"), "joined"),
        ("clip", "RELU", ("joined",), "clipped"),
        ("squash", "LOGISTIC", ("clipped",), "y"),
        ("late", "RELU", ("y",), "z"),
    ]
    (found,) = check(tmp_path, lines, {"wide": 600.0, "small": 1.0}, outputs=("z",))
    assert found.float_nodes == ("cat", "clip", "squash")
    assert not found.at_output


def test_joins_that_lead_to_one_place_are_to_be_float_together(tmp_path: Path) -> None:
    lines: list[Line] = [
        ("first", "CONCATENATION", ("wide", "small"), "a"),
        ("second", "CONCATENATION", ("small", "wide"), "b"),
        ("all", "CONCATENATION", ("a", "b"), "y"),
    ]
    found = check(tmp_path, lines, {"wide": 600.0, "small": 1.0})
    assert [(one.node, one.float_nodes) for one in found] == [("first", ("first", "second", "all")), ("second", ("first", "second", "all"))]
