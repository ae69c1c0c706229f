"""A file whose run begins behind what has not changed computes what the whole file computes."""

from pathlib import Path

import numpy as np
import pytest
from small_nets import INT8, RELU, Layers, min_max

from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import read_graph
from bridge.quantize.plan import Plan, make_plan
from bridge.quantize.spans import spans_by_precision
from bridge.recover import tail as tail_module
from bridge.recover.batches import joined
from bridge.recover.tail import Start, Tail
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Ranges, TensorRange

RNG = np.random.default_rng(5)
VALUES = RNG.standard_normal((6, 1, 4, 4, 3)).astype(np.float32)
LAYERS = 4
KEPT = "c2"  # is an output, and in front of where some runs begin


@pytest.fixture
def path(tmp_path: Path) -> Path:
    layers = Layers(1, 4, 4, 3)
    for layer in range(LAYERS):
        layers.conv(f"c{layer}", RNG.standard_normal((3, 3, 3, 3)), RNG.standard_normal(3), activation=RELU)
    return layers.dense("y", RNG.standard_normal((3, 48)), RNG.standard_normal(3)).save(tmp_path / "net.tflite", KEPT)


class Net:
    """The file of the fixture and its tail, in batches of so many samples."""

    def __init__(self, path: Path) -> None:
        self.graph, self.ranges = read_graph(tflite.read(path), where="net"), min_max(path, VALUES)
        self.file = WorkingFile(self.graph)
        self.batches = joined([{"x": sample} for sample in VALUES], 1)
        self.tail = Tail(self.file, lambda: self.batches, 1)

    def plan(self, name: str = "", factor: float = 1.0) -> Plan:
        """With another range for one tensor."""
        tensors = {key: TensorRange(one.minimum * factor, one.maximum * factor) if key == name else one for key, one in self.ranges.tensors.items()}
        spans = spans_by_precision(Ranges(tensors, self.ranges.samples, self.ranges.observer, ""))
        precisions = [INT8] * len(self.graph.ops)
        return make_plan(self.graph, precisions, spans, corrections=Corrections(), given={}, input_type="FLOAT32", output_type="FLOAT32")

    def run(self, plan: Plan) -> tuple[Start, list[list[np.ndarray]]]:
        start = self.tail.start(plan)
        return start, self.tail.runner(plan, start).run(start.batches)

    def whole(self, plan: Plan) -> list[list[np.ndarray]]:
        runner = Interpreter(self.file.of(plan))
        return [runner.run(batch.feeds) for batch in self.batches]


def test_runs_begin_at_the_operator_that_changes_and_give_the_same_bits(path: Path) -> None:
    net, firsts = Net(path), []
    net.run(net.plan())
    for layer in range(LAYERS):
        for factor in (0.5, 0.9):
            plan = net.plan(f"c{layer}", factor)
            start, received = net.run(plan)
            firsts.append(start.first)
            for got, wanted in zip(received, net.whole(plan), strict=True):
                assert len(got) == 2
                for one, other in zip(got, wanted, strict=True):
                    np.testing.assert_array_equal(one, other)
    assert firsts == sorted(firsts)
    assert firsts[-1] == net.file.positions(net.plan())[LAYERS - 1]
    start, _ = net.run(net.plan("c0", 0.7))  # in front of where the last one began
    assert start.first <= net.file.positions(net.plan())[0]


def test_a_beginning_that_gives_other_bits_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(path)
    net.run(net.plan())
    net.run(net.plan("c3", 0.5))
    other = Net(path)
    other.run(other.plan())
    monkeypatch.setattr(Tail, "_same", lambda *_: False)
    start, received = other.run(other.plan("c3", 0.5))
    assert (start.first, len(received)) == (0, len(VALUES))


def test_more_values_than_are_kept_are_not_recorded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "KEPT_VALUES", 10)
    net = Net(path)
    net.run(net.plan())
    assert net.run(net.plan("c3", 0.5))[0].first == 0
