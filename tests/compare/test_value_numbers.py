from pathlib import Path

import numpy as np
from two_layers import Builder

from bridge.compare.value_numbers import ValueNumbers
from bridge.tflite import model as tflite


def file(folder: Path, *, factor: float = 2.0, name: str = "m") -> tflite.ModelT:
    """x, then x + x twice over, times a constant twice over, and once a draw of its own for each of two tensors."""
    build = Builder()
    x = build.tensor("x", (1, 4))
    first, again, scaled, other = (build.tensor(name, (1, 4)) for name in ("first", "again", "scaled", "other"))
    constant = build.constant("factor", np.array([factor], np.float32))
    build.op("ADD", [x, x], [first])
    build.op("ADD", [x, x], [again])
    build.op("MUL", [first, constant], [scaled])
    build.op("MUL", [again, constant], [other])
    shape = build.constant("shape", np.array([4], np.int32))
    for draw in ("one draw", "another draw"):
        build.op("RANDOM_UNIFORM", [shape], [build.tensor(draw, (4,))])
    build.save(folder / f"{name}.tflite", [x], [scaled, other])
    return tflite.read_once(folder / f"{name}.tflite")


def by_name(numbers: ValueNumbers, model: tflite.ModelT) -> dict[str, int]:
    main = tflite.main_graph(model)
    found = numbers.of(model, main.operators)
    return {tflite.text(tensor.name): found[index] for index, tensor in enumerate(main.tensors) if index in found}


def test_what_is_computed_alike_has_one_number(tmp_path: Path) -> None:
    found = by_name(ValueNumbers(), file(tmp_path))
    assert found["first"] == found["again"] != found["x"]
    assert found["scaled"] == found["other"] != found["first"]


def test_a_draw_is_like_no_other(tmp_path: Path) -> None:
    found = by_name(ValueNumbers(), file(tmp_path))
    assert found["one draw"] != found["another draw"]


def test_numbers_hold_from_graph_to_graph_that_share_their_constants(tmp_path: Path) -> None:
    numbers, model = ValueNumbers(), file(tmp_path)
    before, again, changed = (by_name(numbers, one) for one in (model, tflite.copied(model), file(tmp_path, factor=3.0, name="changed")))
    assert {name: number for name, number in again.items() if "draw" not in name} == {
        name: number for name, number in before.items() if "draw" not in name
    }
    assert changed["first"] == before["first"]
    assert changed["scaled"] != before["scaled"]


def test_options_and_types_tell_values_apart(tmp_path: Path) -> None:
    numbers, model = ValueNumbers(), tflite.copied(file(tmp_path))
    before = by_name(numbers, model)
    main = tflite.main_graph(model)
    tflite.set_options(main.operators[1], "AddOptions", fusedActivationFunction=1)
    tflite.set_type(main.tensors[3], "INT8", [0.5], [0])
    found = by_name(numbers, model)
    assert found["first"] == before["first"]
    assert found["again"] not in before.values()
    assert found["scaled"] not in before.values()
