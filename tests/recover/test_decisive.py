"""What outputs are judged by."""

import numpy as np
from small_nets import Layers

from bridge.recover.decisive import show_before_saturation
from bridge.tflite import model as tflite

RNG = np.random.default_rng(0)


def shown(layers: Layers) -> list[str]:
    """Names of the tensors that the outputs of a file are judged by."""
    layers.graph.outputs = np.asarray([layers.last], np.int32)
    found = show_before_saturation(layers.model)
    return [tflite.text(layers.graph.tensors[layers.graph.outputs[place]].name) for place in found.decisive]


def test_scores_behind_one_softmax_are_judged_in_front_of_it() -> None:
    assert shown(Layers(1, 8).dense("logits", RNG.standard_normal((3, 8)), np.zeros(3)).unary("SOFTMAX", "scores")) == ["logits"]


def test_an_output_without_saturation_is_judged_as_it_is() -> None:
    assert shown(Layers(1, 8).dense("y", RNG.standard_normal((3, 8)), np.zeros(3))) == ["y"]


def test_many_decisions_in_one_output_are_judged_as_they_are() -> None:
    layers = Layers(1, 4, 4, 2).conv("logits", RNG.standard_normal((3, 1, 1, 2)), np.zeros(3)).unary("SOFTMAX", "scores")
    assert shown(layers) == ["scores"]


def test_saturation_of_the_model_input_is_judged_behind_it() -> None:
    assert shown(Layers(1, 8).unary("SOFTMAX", "scores")) == ["scores"]
