import numpy as np
import pytest
from two_layers import Builder, H, X

from bridge.compare.borders import LoneOp, alone, cancelling_pairs, converted_elements, lone_float_ops
from bridge.compare.forms import Form
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

FINER = Form(H.scale / 2, H.zero_point)


def chain(*steps: str, form: Form | None = H) -> Builder:
    """x in int8 [1, 6], then one operator after the other; QUANTIZE makes `form` of it."""
    build = Builder()
    last = build.tensor("x", (1, 6), "INT8", H)
    build.graph.inputs = np.array([last], np.int32)
    for place, step in enumerate(steps):
        integer = step in ("QUANTIZE", "int8 RELU")
        made = build.tensor(f"t{place}", (1, 6), *(("INT8", form) if integer else ()))
        build.op(step.removeprefix("int8 "), [last], [made], 2 if step == "DEQUANTIZE" or (integer and "RELU" in step) else 1)
        last = made
    build.graph.outputs = np.array([last], np.int32)
    return build


def test_a_float_operator_between_integers_is_alone_with_its_conversions() -> None:
    model = chain("int8 RELU", "DEQUANTIZE", "EXP", "QUANTIZE", "int8 RELU").model
    assert lone_float_ops(model) == (LoneOp(position=2, borders=(1, 3), converted_elements=12),)
    assert converted_elements(model) == 12


@pytest.mark.parametrize(
    "steps",
    [
        ("DEQUANTIZE", "EXP", "EXP", "QUANTIZE"),  # two in a row
        ("DEQUANTIZE", "EXP"),  # a model output
        ("DEQUANTIZE", "RESHAPE", "QUANTIZE"),  # only moves data
        ("int8 RELU",),
    ],
)
def test_no_operator_is_alone_where_floats_are_beside_it(steps: tuple[str, ...]) -> None:
    assert lone_float_ops(chain(*steps).model) == ()


def test_unpacked_weights_are_no_conversion_and_no_neighbour() -> None:
    build = chain("DEQUANTIZE")
    stored = build.constant("w", np.ones((1, 6), np.int8), 0.5)
    unpacked, product, back = build.tensor("w_float", (1, 6)), build.tensor("y", (1, 6)), build.tensor("y8", (1, 6), "INT8", X)
    build.op("DEQUANTIZE", [stored], [unpacked], 2)
    build.op("MUL", [int(build.graph.outputs[0]), unpacked], [product])
    build.op("QUANTIZE", [product], [back])
    build.graph.outputs = np.array([back], np.int32)
    assert converted_elements(build.model) == 12
    assert [(lone.position, lone.borders) for lone in lone_float_ops(build.model)] == [(2, (0, 3))]


def test_a_conversion_back_to_where_it_came_from_cancels() -> None:
    assert cancelling_pairs(chain("DEQUANTIZE", "QUANTIZE").model) == 1
    assert cancelling_pairs(chain("DEQUANTIZE", "EXP", "QUANTIZE", "DEQUANTIZE").model) == 1  # through integers between two float operators


def test_a_conversion_to_another_scale_does_not_cancel() -> None:
    assert cancelling_pairs(chain("DEQUANTIZE", "QUANTIZE", form=FINER).model) == 0
    assert cancelling_pairs(chain("QUANTIZE", form=FINER).model) == 0
    assert cancelling_pairs(chain("DEQUANTIZE", "EXP", "QUANTIZE").model) == 0


def test_the_operator_in_a_file_of_its_own_computes_what_it_did() -> None:
    build = chain("int8 RELU", "DEQUANTIZE", "EXP", "QUANTIZE", "int8 RELU", form=X)
    (lone,) = lone_float_ops(build.model)
    content = alone(build.model, lone)
    small = tflite.parse(content, where="small")
    assert [tflite.op_name(small, op) for op in tflite.main_graph(small).operators] == ["DEQUANTIZE", "EXP", "QUANTIZE"]
    interpreter = Interpreter(content)
    (spec,) = interpreter.inputs
    stored = np.arange(-10, 2, 2, dtype=np.int8)[None]
    (received,) = interpreter.run({spec.name: stored})
    expected = np.clip(np.rint(np.exp((stored - X.zero_point) * X.scale) / X.scale) + X.zero_point, -128, 127)
    assert np.abs(received - expected).max() <= 1
