"""The public function: what it refuses, and that it gives the same bytes everywhere."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from nets import INT8, Net, form, ops, quantized, ranges

from bridge.errors import InputError, UsageError
from bridge.quantize import PRECISIONS, quantize
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Ranges, TensorRange


@pytest.fixture
def path(tmp_path: Path) -> Path:
    net = Net()
    x = net.input("x", 1, 8, 8, 3)
    left, right = net.conv(x, "left", 1, 8, 8, 4), net.conv(x, "right", 1, 8, 8, 4, seed=1)
    both = net.op("CONCATENATION", [left, right], "both", 1, 8, 8, 8, options=("ConcatenationOptions", {"axis": 3}))
    return net.save(tmp_path / "net.tflite", net.conv(both, "last", 1, 8, 8, 2, channels=8), net.op("FLOOR", [left], "floor", 1, 8, 8, 4))


def test_result_describes_the_file(path: Path) -> None:
    made = quantized(path)
    assert made.sha256 == sha256(made.path.read_bytes()).hexdigest()
    assert [outcome.op for outcome in made.ops] == ["CONV_2D", "CONV_2D", "CONCATENATION", "CONV_2D", "FLOOR"]
    names = ops(made.path)
    assert [names[outcome.quantized_index or 0] for outcome in made.ops] == [outcome.op for outcome in made.ops]


def test_all_float_computes_the_same(path: Path) -> None:
    made = quantized(path, *["float32"] * 5)
    assert ops(made.path) == ops(path)
    feed = {"x": np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)}
    for exact, got in zip(Interpreter(path).run(feed), Interpreter(made.path).run(feed), strict=True):
        assert np.array_equal(exact, got)


def test_the_float_file_is_left_alone(path: Path) -> None:
    before = path.read_bytes()
    quantized(path)
    assert path.read_bytes() == before


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from nets import quantized
print(quantized(Path(sys.argv[2])).sha256)
"""


def test_same_bytes_in_every_process(path: Path) -> None:
    digests = set()
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(path)]
        digests.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip())
    assert digests == {quantized(path).sha256}


def test_unknown_precision_lists_the_known_ones(path: Path) -> None:
    with pytest.raises(UsageError, match="'int8'") as caught:
        quantize(path, path.with_suffix(".q"), ranges=ranges(path), op_precisions=["int8"] * 5)
    assert all(name in caught.value.hint for name in PRECISIONS)
    with pytest.raises(UsageError, match="'wi2'"):
        quantize(path, path.with_suffix(".q"), ranges=ranges(path), op_precisions=[INT8] * 5, precision="wi2")


def test_one_precision_per_operator_is_needed(path: Path) -> None:
    with pytest.raises(UsageError, match=r"one precision per operator is needed: 5\. Received: 4"):
        quantize(path, path.with_suffix(".q"), ranges=ranges(path), op_precisions=[INT8] * 4)


def test_unknown_edge_types_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match=r"input_dtype cannot be that\. Received: 'int4'"):
        quantized(path, input_dtype="int4")
    with pytest.raises(UsageError, match="output_dtype"):
        quantized(path, output_dtype="float16")


def test_ranges_of_another_file_are_refused(path: Path) -> None:
    known = ranges(path)
    with pytest.raises(InputError, match="belong to another file"):
        quantized(path, known=Ranges(known.tensors, 1, "test", "0" * 64))
    assert quantized(path, known=Ranges(known.tensors, 1, "test", sha256(path.read_bytes()).hexdigest()))


@pytest.mark.parametrize(("option", "name"), [("input_dtype", "x"), ("output_dtype", "last")])
def test_integer_edges_need_a_usable_range(option: str, name: str, path: Path) -> None:
    known = dict(ranges(path).tensors)
    for span in (None, TensorRange(0, float("inf"))):
        changed = {**known, name: span} if span else {key: value for key, value in known.items() if key != name}
        edges = {"input_dtype": "float32", "output_dtype": "float32"} | {option: "int8"}
        with pytest.raises(InputError, match=f"'{name}'.* cannot become an integer model input or output"):
            quantized(path, known=Ranges(changed, 1, "test", ""), input_dtype=edges["input_dtype"], output_dtype=edges["output_dtype"])


def test_activations_of_one_name_are_refused(path: Path) -> None:
    model = tflite.read(path)
    for tensor in tflite.main_graph(model).tensors:
        if tflite.text(tensor.name) == "right":
            tensor.name = b"left"
    path.write_bytes(tflite.serialize(model))
    with pytest.raises(InputError, match=r"several tensors share a name.*\['left'\]"):
        quantize(path, path.with_suffix(".q"), ranges=Ranges({}, 0, "test", ""), op_precisions=[INT8] * 5)


def test_a_file_that_is_no_tflite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"not a model at all")
    with pytest.raises(InputError, match="not a TFLite file"):
        quantize(tmp_path / "x.tflite", tmp_path / "y.tflite", ranges=Ranges({}, 0, "test", ""), op_precisions=[])


def test_without_any_range_nothing_is_quantized(path: Path) -> None:
    made = quantized(path, known=Ranges({}, 0, "test", ""))
    assert {outcome.precision for outcome in made.ops} == {"float32"}
    assert made.ops[0].reason == "no calibrated range for 'x'"
    assert form(made.path, "left")[0] == "FLOAT32"
