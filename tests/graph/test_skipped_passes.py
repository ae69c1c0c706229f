"""The ledger leaves a pass out where it would find nothing: here what is left out runs all the same, and what `in_place` says of a pass is looked at."""

import sys

import numpy as np
import onnx_ir as ir
import pytest
from msgspec.structs import replace
from onnx_text import parse
from spelled_texts import BY_HAND, CONTRIB, source

from bridge.graph import folding, normalize
from bridge.graph.ledger import Ledger, Step
from bridge.types import Diagnostic, SourceModel

NORMALIZE = sys.modules[normalize.__module__]  # the package has the function under the module's name
WEIGHT = np.random.default_rng(1).standard_normal((3, 3))
LOOP = """(float[2] x) => (float[2] y, float["N", 2] z) { y, z = Loop(m, yes, x) <body = g1 (int64 i, bool c, float[2] s) =>
    (bool go, float[2] t, float[2] seen) { t = Add(s, s) seen = Mul(t, t) go = Identity(c) }> }"""
OTHERS = {
    "loop": parse(LOOP, opset=17, constants={"m": np.array(3), "yes": np.array(True)}),
    "float16": parse("(float16[2,3] x) => (float16[2,3] y) { t = MatMul(x, w) y = Relu(t) }", opset=17, constants={"w": WEIGHT.astype(np.float16)}),
    "old": parse("(float[2,3] x) => (float[2,3] y) { t = Dropout(x) s = Softmax(t) y = Identity(s) }", opset=7, constants={}),
    "shapes": parse("(float[2,3] x) => (float[6] y) { n = Size(x) u = Reshape(n, one) t = Reshape(x, u) y = Neg(t) }", opset=17, constants={"one": np.array([1])}),
}  # fmt: skip
MODELS = {
    **{name: source(*text) for name, text in [*BY_HAND.items(), *CONTRIB.items()]},
    **{name: SourceModel(proto=proto, digest="d") for name, proto in OTHERS.items()},
}


def state(model: ir.Model) -> tuple[object, ...]:
    """Which nodes and values there are, and all that they are."""
    values = [value for node in model.graph for value in node.outputs]
    return [*map(id, model.graph)], [*map(id, values)], ir.to_proto(model).SerializeToString(deterministic=True)


class Doubting(Ledger):
    """Runs what it should leave out, and looks at the model before and behind every step."""

    def run(self, step: Step) -> tuple[Diagnostic, ...]:
        before, changes = state(self._model), self._changes
        if self._idle.get(step.run) == changes:
            self._model.graph.meta.pop(folding._FOLDED, None)  # folding leaves itself out, too, by what it knows of the last time
            folding._Folder.seen.clear()
            step.run(self._model)
            assert state(self._model) == before, f"{step.name!r} was left out and changes the model"
        found = super().run(step)
        if self._changes == changes:
            assert state(self._model) == before, f"{step.name!r} changes the model and is not said to"
        return found


@pytest.mark.parametrize("name", MODELS)
def test_what_is_left_out_would_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NORMALIZE, "Ledger", Doubting)
    normalize(MODELS[name], input_shapes={})


def test_a_pass_that_does_not_say_that_it_changes_in_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NORMALIZE, "Ledger", Doubting)
    monkeypatch.setattr(NORMALIZE, "STEPS", tuple(replace(step, in_place=False) for step in NORMALIZE.STEPS))
    with pytest.raises(AssertionError, match="is not said to"):
        normalize(MODELS["float16"], input_shapes={})
