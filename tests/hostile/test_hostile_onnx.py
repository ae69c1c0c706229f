"""ONNX files of strangers, through the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import door
import numpy as np
import onnx
import pytest
from door import Refused, alone, check_sentence, code_of
from onnx import TensorProto, helper, numpy_helper

fixture = door.refusal  # pytest finds it by its name, `refused`

SECRET = b"the secret of another folder"


def value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def constant(name: str, array: object) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def save(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    *constants: TensorProto,
    functions: Sequence[onnx.FunctionProto] = (),
    inputs: Sequence[onnx.ValueInfoProto] = (value("x", 1, 4),),
    outputs: Sequence[onnx.ValueInfoProto] = (value("y", 1, 4),),
    opset: int = 17,
) -> Path:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), initializer=list(constants))
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("f", 1)]
    model = helper.make_model(graph, opset_imports=domains, functions=list(functions), ir_version=9)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


ADD = helper.make_node("Add", ["x", "w"], ["y"])


@pytest.mark.parametrize("location", ["../secret.bin", "{outside}/secret.bin", "link", "away/secret.bin", "hard", "a/../../secret.bin"])
def test_external_data_outside_of_the_folder_are_not_read(location: str, tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(SECRET)
    (folder / "link").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path, target_is_directory=True)
    (folder / "hard").hardlink_to(secret)
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location.format(outside=tmp_path))
    weight.external_data.add(key="length", value="16")
    assert "external data" in refused("inspect", save(folder, [ADD], weight))


def test_external_data_without_an_end_are_not_read(tmp_path: Path, refused: Refused) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/dev/zero")
    assert "external data '/dev/zero'" in refused("inspect", save(tmp_path, [ADD], weight))


SUM = helper.make_node("ReduceSum", ["k"], ["r"], keepdims=0)
USE = helper.make_node("Add", ["x", "r"], ["y"])
GIANTS: dict[str, tuple[list[onnx.NodeProto], list[TensorProto]]] = {
    "weight": ([ADD], [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 62, 4])]),
    "product that overflows to 0": ([ADD], [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 32, 1 << 32])]),
    "constant of shape": ([helper.make_node("ConstantOfShape", ["s"], ["k"]), SUM, USE], [constant("s", np.array([1 << 16, 1 << 16]))]),
    "expand": (
        [helper.make_node("Expand", ["w", "s"], ["k"]), SUM, USE],
        [constant("w", np.ones(1, np.float32)), constant("s", np.array([1 << 40]))],
    ),
    "tile": ([helper.make_node("Tile", ["w", "s"], ["k"]), SUM, USE], [constant("w", np.ones(9, np.float32)), constant("s", np.array([1 << 40]))]),
    "range": (
        [helper.make_node("Range", ["a", "b", "c"], ["i"]), helper.make_node("Cast", ["i"], ["k"], to=TensorProto.FLOAT), SUM, USE],
        [constant("a", np.int64(0)), constant("b", np.int64(1 << 50)), constant("c", np.int64(1))],
    ),
    "pad": ([helper.make_node("Pad", ["x", "s"], ["k"]), SUM, USE], [constant("s", np.array([0, 0, 1 << 40, 1 << 40]))]),
    "one hot": (
        [helper.make_node("OneHot", ["i", "d", "v"], ["k"]), SUM, USE],
        [constant("i", np.arange(1000)), constant("d", np.int64(1 << 33)), constant("v", np.array([0, 1], np.float32))],
    ),
}


@pytest.mark.parametrize("case", GIANTS)
def test_a_giant_tensor_is_refused_before_anybody_makes_it(case: str, tmp_path: Path, refused: Refused) -> None:
    nodes, constants = GIANTS[case]
    refused("inspect", save(tmp_path, nodes, *constants))


def test_giant_tensors_need_neither_memory_nor_time(tmp_path: Path) -> None:
    nodes, constants = GIANTS["constant of shape"]
    code, text = alone("convert", save(tmp_path, nodes, *constants), "-o", tmp_path / "out")
    assert code == 3
    assert "a tensor of more than 2 GB" in check_sentence(text)
    assert not (tmp_path / "out").exists()


def test_an_input_of_giant_size_is_refused(tmp_path: Path, refused: Refused) -> None:
    path = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], inputs=[value("x", 1 << 31, 1 << 31, 4)], outputs=[value("y", 1)])
    assert "more than 2 GB" in refused("convert", path, "-o", tmp_path / "out")


LONG = np.array([1 << 40])
ONE = constant("one", np.array([1], np.int64))
TARGETS: dict[str, tuple[list[onnx.NodeProto], list[TensorProto]]] = {
    "declared": ([], []),
    "constant of shape": ([helper.make_node("ConstantOfShape", ["n"], ["s"], value=ONE)], [constant("n", LONG)]),
    "tile": ([helper.make_node("Tile", ["one", "n"], ["s"])], [ONE, constant("n", LONG)]),
    "pad": ([helper.make_node("Pad", ["one", "n"], ["s"])], [ONE, constant("n", np.array([0, (1 << 40) - 1]))]),
    "behind another": (
        [
            helper.make_node("Expand", ["one", "n"], ["long"]),
            helper.make_node("Mul", ["long", "t"], ["s"]),
        ],
        [ONE, constant("n", LONG), constant("t", np.int64(1))],
    ),
}


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("inside", ["graph", "If", "function"])
def test_a_target_shape_of_giant_length_is_refused(case: str, inside: str, tmp_path: Path, refused: Refused) -> None:
    nodes, constants = TARGETS[case]
    fed = [helper.make_tensor_value_info("s", TensorProto.INT64, [1 << 40])] if case == "declared" else []
    expand = helper.make_node("Expand", ["x", "s"], ["y"])
    functions = []
    if inside == "If":
        same = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "same", [], [value("z", 1, 4)])
        branch = helper.make_graph([helper.make_node("Expand", ["x", "s"], ["z"])], "then", [], [value("z", 1, 4)])
        expand = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=same)
        constants = [*constants, constant("c", np.bool_(True))]
    elif inside == "function":
        imports = [helper.make_opsetid("", 11)]
        functions = [helper.make_function("f", "F", ["a", "b"], ["d"], [helper.make_node("Expand", ["a", "b"], ["d"])], imports)]
        expand = helper.make_node("F", ["x", "s"], ["y"], domain="f")
    path = save(tmp_path, [*nodes, expand], *constants, functions=functions, inputs=[value("x", 1, 4), *fed], opset=11)
    assert "the target shape of an Expand has 1099511627776 axes; at most 64 are taken" in refused("inspect", path)


@pytest.mark.parametrize("name", [b"large", b"graph"])
def test_a_name_that_is_no_text_beside_an_old_expand_is_one_sentence(name: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = constant("large", np.ones(5000, np.float32))
    path = save(tmp_path, [helper.make_node("Shape", ["large"], ["s"]), helper.make_node("Expand", ["x", "s"], ["y"])], large, opset=11)
    content = path.read_bytes()
    changed = content.replace(b"\x05large", b"\x05l\xffrge") if name == b"large" else content.replace(b"\x12\x01g", b"\x12\x01\xff", 1)
    assert changed != content
    path.write_bytes(changed)
    code_of("inspect", path)
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert "internal" not in text


def test_a_target_shape_without_a_type_is_left_to_others(tmp_path: Path, refused: Refused) -> None:
    path = save(tmp_path, [helper.make_node("Expand", ["x", "s"], ["y"])], inputs=[value("x", 1, 4), onnx.ValueInfoProto(name="s")], opset=11)
    refused("inspect", path)


def test_a_target_shape_that_an_old_model_computes_is_taken(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["w"], ["s"]), helper.make_node("Expand", ["x", "s"], ["e"]), helper.make_node("Relu", ["e"], ["y"])]
    assert code_of("inspect", save(tmp_path, nodes, constant("w", np.ones((3, 4), np.float32)), outputs=[value("y", 3, 4)], opset=11)) == 0


def test_a_cyclic_graph_is_refused(tmp_path: Path, refused: Refused) -> None:
    cycle = [helper.make_node("Add", ["x", "y"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    assert "reads 'y', which neither the model nor an earlier node gives" in refused("inspect", save(tmp_path, cycle))


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("f", name, ["a"], ["b"], list(nodes), [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)])


CALL = helper.make_node("F", ["x"], ["y"], domain="f")


@pytest.mark.parametrize(("op", "least"), [("DequantizeLinear", 2), ("Conv", 2), ("If", 1), ("Concat", 1)])
def test_a_node_without_its_inputs_is_refused(op: str, least: int, tmp_path: Path, refused: Refused) -> None:
    for opset in (9, 17):  # before the operator was there, and since
        path = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"]), helper.make_node(op, [], ["unused"])], opset=opset)
        assert f"({op}) has 0 inputs, it needs at least {least}" in refused("inspect", path)


def test_functions_that_call_each_other_are_refused(tmp_path: Path, refused: Refused) -> None:
    functions = [function(one, helper.make_node(other, ["a"], ["b"], domain="f")) for one, other in (("F", "G"), ("G", "F"))]
    assert "call themselves: f F, f G" in refused("inspect", save(tmp_path, [CALL], functions=functions))


def test_functions_that_explode_are_refused(tmp_path: Path, refused: Refused) -> None:
    functions = [function("F0", helper.make_node("Relu", ["a"], ["b"]))]
    for level in range(1, 10):  # a thousand million Relu
        names = ["a", *(f"t{place}" for place in range(9)), "b"]
        calls = [helper.make_node(f"F{level - 1}", [names[place]], [names[place + 1]], domain="f") for place in range(10)]
        functions.append(function("F" if level == 9 else f"F{level}", *calls))
    assert "1000000000 nodes once its functions are written out" in refused("inspect", save(tmp_path, [CALL], functions=functions))


def test_a_million_nodes_are_refused(tmp_path: Path, refused: Refused) -> None:
    one = onnx.GraphProto(node=[onnx.NodeProto(op_type="Relu", input=["x"], output=["y"])]).SerializeToString()
    path = save(tmp_path, [])
    model = onnx.ModelProto(graph=onnx.GraphProto(name="g")).SerializeToString()
    assert model  # protobuf joins what is written behind one another
    nodes = one * 1_000_000
    head = b"\x3a" + _varint(len(nodes))  # field 7, the graph
    path.write_bytes(path.read_bytes() + head + nodes)
    assert "has 1000000 nodes; at most 200000 are taken" in refused("inspect", path)


def _varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + _varint(number >> 7) if number > 0x7F else bytes([number])


def test_a_loop_that_would_be_millions_of_nodes_stays_a_loop_and_is_refused(tmp_path: Path, refused: Refused) -> None:
    chain = [helper.make_node("Relu", [f"t{place}"], [f"t{place + 1}"]) for place in range(1000)]
    ends = [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("c", TensorProto.BOOL, []), value("t0", 1, 4)]
    body = helper.make_graph(
        [*chain, helper.make_node("Identity", ["c"], ["d"])],
        "b",
        ends,
        [helper.make_tensor_value_info("d", TensorProto.BOOL, []), value("t1000", 1, 4)],
    )
    loop = helper.make_node("Loop", ["n", "go", "x"], ["y"], body=body)
    assert "control flow (Loop)" in refused("inspect", save(tmp_path, [loop], constant("n", np.int64(250)), constant("go", np.array(True))))


def test_nodes_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="n"), helper.make_node("Neg", ["a"], ["y"], name="n")]
    assert code_of("inspect", save(tmp_path, nodes), "--json") == 0
    assert '"n_1"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"constants": [constant("w", np.ones(4, np.float32)), constant("w", np.zeros(4, np.float32))]}, "two initializers are called 'w'"),
        ({"inputs": [value("x", 1, 4), value("x", 1, 4)]}, "two inputs are called 'x'"),
        ({"outputs": [value("y", 1, 4), value("y", 1, 4)]}, "two outputs are called 'y'"),
        ({"nodes": [ADD, ADD]}, "writes 'y', which exists already"),
    ],
)
def test_tensors_of_one_name_are_refused(arguments: dict[str, Any], message: str, tmp_path: Path, refused: Refused) -> None:
    constants = arguments.pop("constants", [constant("w", np.ones(4, np.float32))])
    assert message in refused("inspect", save(tmp_path, arguments.pop("nodes", [ADD]), *constants, **arguments))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_weights_that_are_no_numbers_are_refused(kind: type, tmp_path: Path, refused: Refused) -> None:
    weight: np.ndarray = np.array([1, np.nan, -np.inf, 2], kind)
    assert "weight 'w' holds NaN, in 1 of 4 values" in refused("convert", save(tmp_path, [ADD], constant("w", weight)), "-o", tmp_path / "out")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(part: float, tmp_path: Path, refused: Refused) -> None:
    path = save(tmp_path, [ADD], constant("w", np.ones(4, np.float32)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused("convert", path, "-o", tmp_path / "out")


def test_an_attribute_of_another_type_than_its_value_is_refused(tmp_path: Path, refused: Refused) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    node.attribute.add(name="pads", type=onnx.AttributeProto.FLOAT, ints=[1, 2])
    assert "the attribute 'pads' with a value of another type" in refused("inspect", save(tmp_path, [node]))


@pytest.mark.parametrize(("values", "received"), [({}, "none"), ({"other": 1.0}, "'other'"), ({"value_int": 1, "value_float": 1.0}, "'value_")])
def test_a_constant_without_its_one_value_is_refused(values: dict[str, float], received: str, tmp_path: Path, refused: Refused) -> None:
    nodes = [helper.make_node("Constant", [], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    nodes[0].attribute.extend(helper.make_attribute(name, value) for name, value in values.items())
    assert f"needs one value. Received: {received}" in refused("inspect", save(tmp_path, nodes))


def test_an_attribute_without_a_type_is_refused(tmp_path: Path, refused: Refused) -> None:
    node = helper.make_node("Split", ["x"], ["y"])
    node.attribute.add(name="axis", i=-1)
    assert "the attribute 'axis' without a type" in refused("inspect", save(tmp_path, [node]))


@pytest.mark.parametrize("wrap", [lambda kind: kind, helper.make_sequence_type_proto, helper.make_optional_type_proto])
def test_a_value_of_an_unknown_type_is_refused(wrap: Callable[[onnx.TypeProto], onnx.TypeProto], tmp_path: Path, refused: Refused) -> None:
    output = onnx.ValueInfoProto(name="y", type=wrap(helper.make_tensor_type_proto(64, [1, 4])))
    assert "'y' has no data type that ONNX knows. Received: 64" in refused(
        "inspect", save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], outputs=[output])
    )
