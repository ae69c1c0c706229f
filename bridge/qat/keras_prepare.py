"""A Keras model with fake quantization where the rule files make integers of it, and that model as int8 TFLite."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bridge import pipeline
from bridge import rules as rules_stage
from bridge.conversion_result import ConversionResult
from bridge.errors import UsageError, first_line
from bridge.frontends.tensorflow_export import layer_names, plain_name
from bridge.qat.keras_hooks import Hooks, walk
from bridge.qat.keras_model import QuantizedModel, spec_of
from bridge.qat.keras_plan import make_plan
from bridge.qat.keras_sites import Recorder
from bridge.qat.scheme import PRECISION, Scheme
from bridge.sources import open_model
from bridge.types import NodeFacts


def prepare(model: Any, example_inputs: Any = None, *, rules: Sequence[str | Path], scheme: Scheme) -> QuantizedModel:
    """A copy of the model that rounds; `bridge.qat.prepare` tells the rest."""
    if isinstance(model, QuantizedModel):
        raise UsageError(f"{model.name}: it is prepared already.", hint="Give the float model.")
    float_model = _copied(model, example_inputs)
    hooks = Hooks(float_model)
    hooks.watcher = recorder = Recorder()
    opened = open_model(float_model, input_shapes={}, example_inputs=example_inputs)
    hooks.remove()
    decisions = rules_stage.apply(rules_stage.load(rules), opened.graph.nodes, default_precision=PRECISION).decisions
    precisions = _by_operator(opened.graph.nodes, {name: one.precision for name, one in decisions.items()}, recorder, float_model)
    plan = make_plan(recorder.sites, precisions, scheme)
    if not plan.sites:
        raise UsageError(
            f"{model.name}: no layer of the model becomes an integer one.",
            hint="Look at the rules: they may leave everything float. Layers of your own need a handler.",
        )
    nested = _nested(example_inputs)
    plan.inputs_like = None if nested is None else keras.tree.map_structure(spec_of, nested)
    prepared = QuantizedModel(float_model, plan.config())
    if nested is not None:
        prepared.observe(nested)
    return prepared


def freeze(model: QuantizedModel, *, ranges: bool, batch_norm: bool) -> None:  # folded statistics never move here
    """Keeps the ranges of activations as they are."""
    if ranges:
        model.freeze()


def convert(model: QuantizedModel, example_inputs: Any = None, **options: Any) -> ConversionResult:
    """The trained model as a TFLite file with its scales."""
    if not isinstance(model, QuantizedModel):
        raise UsageError(f"{model.name}: it is not a model that bridge.qat.prepare made.", hint="Prepare and train it first, or call bridge.convert.")
    return pipeline.convert(model, example_inputs=model.example_inputs if example_inputs is None else example_inputs, **options)


def _copied(model: Any, example_inputs: Any) -> Any:
    """Built, with weights of its own."""
    classes = {type(one).__name__: type(one) for _, one in walk(model)} | {type(model).__name__: type(model)}
    activations: list[Any] = [getattr(layer, "activation", None) for _, layer in walk(model)]
    functions = {one.__name__: one for one in activations if hasattr(one, "__name__")}
    own = {name: one for name, one in (classes | functions).items() if not one.__module__.startswith("keras.")}
    try:
        with keras.saving.custom_object_scope(own):
            copied = type(model).from_config(model.get_config())
    except Exception as error:  # whatever constructors of the user's do
        raise UsageError(
            f"{model.name}: Keras cannot copy it: {first_line(error)}", hint="Give each layer of your own a get_config, as for saving."
        ) from error
    copied.name = model.name
    if not copied.built:
        if example_inputs is None:
            raise UsageError(f"{model.name}: a subclassed model needs example inputs: it does not know its own.", hint="Give example_inputs=(x,).")
        copied(_nested(example_inputs))
    if not model.built:
        model(_nested(example_inputs))
    copied.set_weights(model.get_weights())
    return copied


def _nested(example_inputs: Any) -> Any:
    """As the model takes them: an array, a list or a dict."""
    if example_inputs is None or isinstance(example_inputs, Mapping):
        return example_inputs
    values = [np.asarray(one) for one in (example_inputs if isinstance(example_inputs, list | tuple) else (example_inputs,))]
    return values[0] if len(values) == 1 else values


def _by_operator(nodes: Sequence[NodeFacts], precisions: Mapping[str, str], recorder: Recorder, model: Any) -> dict[str, str]:
    """The recorded TensorFlow operators whose nodes have a decision.

    tf2onnx keeps their names, but for the numbers that Keras adds to those of layers; a Conv that it made of several has only the name of its weight.
    """
    layers = layer_names(model)
    plain = {name: plain_name(name, layers) for site in recorder.sites for name in site.operators}
    known, found = frozenset(plain.values()), {}
    for node in nodes:
        own = [name for name in (*node.origins, node.name) if name in known]
        weights = (plain_name(node.inputs[place].name, layers) for place in node.constant_inputs[:1])
        inside = (parent for name in weights for parent in _around(name) if parent in known)
        for name in own or list(itertools.islice(inside, 1)):
            found[name] = precisions[node.name]
    return {name: found[one] for name, one in plain.items() if one in found}


def _around(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition("/")[0]
