"""Takes operators that become TFLite CUSTOM operators out of a model: what they write becomes an input, what they read an output.

Neither onnxruntime nor LiteRT can run them, so everything else is converted, calibrated and compared around them, on the values that their
NumPy references give; at the end they are put into the file (`bridge/tflite/custom_op.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

from bridge.custom_ops.check import apply_reference
from bridge.custom_ops.decompose import CustomCall
from bridge.custom_ops.extract import extract, value_info
from bridge.errors import UnsupportedModelError
from bridge.types import TensorSpec

type Run = Callable[[Mapping[str, np.ndarray], Sequence[str]], Mapping[str, np.ndarray]]
type OpenRunner = Callable[[onnx.ModelProto], Run]


class _Stage(Struct, frozen=True):
    """One custom node, and the part of the model that computes what it reads."""

    call: CustomCall
    run: Run | None
    feeds: tuple[str, ...]
    computed: tuple[str, ...]


class CutModel(Struct, frozen=True):
    """A model without its custom operators.

    Attributes:
        model: the rest; inputs and outputs are those of the user's model that are left, then those at the cuts.
        calls: the nodes that were taken out, in topological order.
        constants: tensor -> value, of what they read and nothing computes.
        written: tensor that a custom node writes -> its name, shape and type.
        dropped_outputs: outputs of the user's model that custom nodes write -> the tensor there.
        end_names: outputs that only the cuts made.
        stages: how the values at the cuts are computed.
    """

    model: onnx.ModelProto
    calls: tuple[CustomCall, ...]
    constants: Mapping[str, np.ndarray]
    written: Mapping[str, TensorSpec]
    dropped_outputs: Mapping[str, str]
    end_names: frozenset[str]
    stages: tuple[_Stage, ...]

    def values(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the custom nodes write for one sample of the user's inputs.

        Raises:
            UsageError: a reference fails.
            UnsupportedModelError: the shape or type of a result depends on the sample.
        """
        known: dict[str, np.ndarray] = {**self.constants, **sample}
        read = {value.name for value in self.model.graph.input}.union(*(stage.call.inputs for stage in self.stages))
        for stage in self.stages:
            if read.isdisjoint(stage.call.outputs):
                continue  # what an operator at the end writes may well have another shape each time
            _compute(stage, known)
            for name in stage.call.outputs:
                self._check(name, known.get(name))
        return {name: known[name] for name in self.written if name in known}

    def _check(self, name: str, found: np.ndarray | None) -> None:
        spec = self.written.get(name)
        if spec is not None and found is not None and (found.shape, found.dtype.name) != (spec.shape, spec.dtype):
            raise UnsupportedModelError(
                f"{name!r}, which a custom operator writes, is {found.dtype} {list(found.shape)} for one sample and {spec.dtype} "
                f"{list(spec.shape)} for another: a TFLite file has fixed shapes.",
                hint="Give samples of one size.",
            )


def cut(model: onnx.ModelProto, calls: Sequence[CustomCall], sample: Mapping[str, np.ndarray], *, open_runner: OpenRunner) -> CutModel:
    """The model without the nodes of `calls`.

    Args:
        model: without local functions; not changed.
        calls: nodes whose operator becomes a TFLite CUSTOM operator, in topological order.
        sample: of the user's inputs; tells the shapes at the cuts.
        open_runner: opens a part of the model in onnxruntime.

    Raises:
        UnsupportedModelError: nothing is left.
        UsageError: a reference fails.
    """
    ours = {call.outputs for call in calls}
    nodes = [node for node in model.graph.node if tuple(node.output) not in ours]
    constants = _constants(model, {name for call in calls for name in call.inputs})
    known: dict[str, np.ndarray] = {**constants, **sample}
    stages = []
    for call in calls:
        stage = _stage(model, nodes, call, known, open_runner)
        _compute(stage, known)
        stages.append(stage)
    written = {name: TensorSpec(name, known[name].shape, known[name].dtype.name) for call in calls for name in call.outputs if name}
    aliases = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Identity" and node.input[0] in written}
    dropped = {value.name: aliases.get(value.name, value.name) for value in model.graph.output}
    dropped = {name: tensor for name, tensor in dropped.items() if tensor in written}
    read = dict.fromkeys(
        name for call in calls for name in call.inputs if name and name not in constants and name not in written and name not in sample
    )
    ends = [value for value in model.graph.output if value.name not in dropped]
    at_cuts = [name for name in read if name not in {value.name for value in ends}]
    ends += [value_info(name, known[name]) for name in at_cuts]
    if not ends:
        raise UnsupportedModelError(
            f"Nothing is left of the model beside its custom operators: {', '.join(str(call.op) for call in calls)}.",
            hint="Nothing can be converted.",
        )
    rest = extract(model, nodes, [value.name for value in ends], _declared({name: known[name] for name in written}), ends)
    return CutModel(rest, tuple(calls), constants, written, dropped, frozenset(at_cuts), tuple(stages))


def _constants(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, np.ndarray]:
    wanted = set(names)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in wanted}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] in wanted:
            for attribute in node.attribute:
                value = helper.get_attribute_value(attribute)
                tensor = isinstance(value, onnx.TensorProto)
                found[node.output[0]] = (
                    numpy_helper.to_array(value) if tensor else np.asarray(value, np.float32 if "float" in attribute.name else None)
                )
    return found


def _stage(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], call: CustomCall, known: Mapping[str, np.ndarray], open_runner: OpenRunner
) -> _Stage:
    needed = tuple(dict.fromkeys(name for name in call.inputs if name and name not in known))
    if not needed:
        return _Stage(call, None, (), ())
    part = extract(model, nodes, needed, _declared(known), [onnx.ValueInfoProto(name=name) for name in needed])
    return _Stage(call, open_runner(part), tuple(value.name for value in part.graph.input), needed)


def _compute(stage: _Stage, known: dict[str, np.ndarray]) -> None:
    if stage.run is not None:
        known.update(stage.run({name: known[name] for name in stage.feeds}, stage.computed))
    results = apply_reference(stage.call, [known[name] if name else None for name in stage.call.inputs])
    known.update(zip([name for name in stage.call.outputs if name], results, strict=True))


def _declared(arrays: Mapping[str, np.ndarray]) -> dict[str, onnx.ValueInfoProto]:
    return {name: value_info(name, array) for name, array in arrays.items()}
