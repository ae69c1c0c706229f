"""Sums of many branches, on files of additions only and errors by hand."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from bridge.compare.wide_sums import wide_sum_error
from bridge.tflite import model as tflite
from bridge.types import LayerResult

BRANCHES = 64


def file_of(additions: Sequence[tuple[str, str, str]], *, shown: Sequence[str] = ()) -> tflite.ModelT:
    """A file that adds as told: (one, other, sum), with the last sum and `shown` as outputs."""
    model = tflite.new_model("additions")
    graph = tflite.main_graph(model)
    names = dict.fromkeys(name for addition in additions for name in addition)
    tensors = {name: tflite.add_tensor(model, graph, name, "FLOAT32", (1, 4)) for name in names}
    graph.operators = [tflite.add_op(model, "ADD", 1, (tensors[one], tensors[other]), (tensors[total],)) for one, other, total in additions]
    written = {total for _, _, total in additions}
    graph.inputs = np.array([tensors[name] for name in names if name not in written], np.int32)
    graph.outputs = np.array([tensors[name] for name in (additions[-1][2], *shown)], np.int32)
    return model


def chain(count: int) -> list[tuple[str, str, str]]:
    """One after the other."""
    return [("b0" if place == 1 else f"s{place - 1}", f"b{place}", f"s{place}") for place in range(1, count)]


def layers(own_db: Sequence[float], branch_db: float = 36.0) -> list[LayerResult]:
    """Branches with an error, and a chain of sums: equal signals add up to sqrt(k) times one, each rounding adds noise of its own share of that."""
    signal, noise = 1.0, 10 ** (-branch_db / 10)
    found: list[tuple[str, float | None, float]] = [(f"b{place}", None, branch_db) for place in range(len(own_db) + 1)]
    for place, own in enumerate(own_db, 1):
        signal += 1.0
        noise += 10 ** (-branch_db / 10) + signal * 10 ** (-own / 10)
        found.append((f"s{place}", own, -10 * math.log10(noise / signal)))
    return [
        LayerResult(node=f"node {name}", tensor=name, tflite_tensor=name, status="mapped", own_sqnr_db=own, inherited_sqnr_db=both)
        for name, own, both in found
    ]


@pytest.mark.provokes("wide-sum-error")
def test_a_sum_that_is_rounded_with_every_branch_is_found() -> None:
    finding = wide_sum_error(layers([38.0] * (BRANCHES - 1)), file_of(chain(BRANCHES)))
    assert finding is not None
    assert (finding.code, finding.node) == ("wide-sum-error", "node s63")
    # Signal 64; noise 64 * 10^-3.6 of the branches and (2 + 3 + ... + 64) * 10^-3.8 of the additions: 22.7 dB.
    assert "The sum of 64 branches keeps 22.7 dB where they keep 36.0 dB (median): each of its 63 additions" in finding.message
    assert "from 'node s1' to 'node s63'" in finding.hint


@pytest.mark.parametrize(
    "own",
    [
        pytest.param([38.0] * 5, id="few branches"),
        pytest.param([58.0] * 63, id="additions in 16 bits"),
        pytest.param([38.0] * 62 + [12.0], id="one bad addition, which is named anyhow"),
        pytest.param([50.0] * 62 + [25.0], id="one addition has most of the noise"),
    ],
)
def test_other_errors_are_left_to_their_findings(own: Sequence[float]) -> None:
    assert wide_sum_error(layers(own), file_of(chain(len(own) + 1))) is None


def test_nothing_is_said_without_measurements() -> None:
    assert wide_sum_error([], file_of(chain(BRANCHES))) is None
    assert wide_sum_error([layer for layer in layers([38.0] * 63) if layer.tensor.startswith("s")], file_of(chain(BRANCHES))) is None


def test_a_residual_network_is_no_sum_of_branches() -> None:
    """Its trunk is read by the next block too: here by an output."""
    shown = [f"s{place}" for place in range(1, BRANCHES - 1)]
    assert wide_sum_error(layers([38.0] * (BRANCHES - 1)), file_of(chain(BRANCHES), shown=shown)) is None


def test_branches_that_are_added_in_pairs_are_one_sum() -> None:
    level, additions = [f"b{place}" for place in range(16)], []
    for count in itertools.count(1):
        if len(level) == 1:
            break
        additions += [(one, other, f"{one}+{other}") for one, other in itertools.batched(level, 2)]
        level = [total for _, _, total in additions[-len(level) // 2 :]]
        assert count < 5
    known = layers([38.0] * 15)
    measured = [layer for layer in known if layer.tensor.startswith("b")]
    root = LayerResult(node="root", tensor=level[0], tflite_tensor=level[0], status="mapped", own_sqnr_db=38.0, inherited_sqnr_db=22.0)
    others = [
        LayerResult(node=total, tensor=total, tflite_tensor=total, status="mapped", own_sqnr_db=38.0, inherited_sqnr_db=30.0)
        for _, _, total in additions[:-1]
    ]
    finding = wide_sum_error([*measured, *others, root], file_of(additions))
    assert finding is not None
    assert "The sum of 16 branches keeps 22.0 dB where they keep 36.0 dB" in finding.message
