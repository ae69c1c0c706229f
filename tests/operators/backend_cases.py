"""The ONNX backend node tests: a model of one operator, inputs, and the outputs that ONNX ships for them."""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case import node as node_tests
from onnx.backend.test.case.test_case import TestCase

NODE_TESTS = "onnx.backend.test.case.node"
EXPANDED = "_expanded"  # the operator's function body, written by ONNX itself


@dataclass(frozen=True)
class Case:
    """One test; arrays by the names of the model's inputs and outputs (a list for a sequence, None for an empty optional)."""

    name: str
    op_type: str
    model: onnx.ModelProto
    inputs: Mapping[str, object]
    outputs: Mapping[str, object]
    rtol: float
    atol: float


def collect(modules: Sequence[str] = ()) -> dict[str, Case]:
    """Cases with a float32 tensor among inputs and outputs, by name; those of some modules of `NODE_TESTS`, or all (10 s).

    ONNX seeds its generator before each operator, so the data are the same in any process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy, about overflows that the tests are about
        if modules:
            for module in modules:
                importlib.import_module(f"{NODE_TESTS}.{module}")
            found = node_tests._NodeTestCases  # what `collect_testcases` returns once all modules are imported
        else:
            found = node_tests.collect_testcases(None)
    return {case.name: _case(case) for case in sorted(found, key=lambda one: str(one.name)) if case.model is not None and _has_float(case.model)}


def _has_float(model: onnx.ModelProto) -> bool:
    return any(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in (*model.graph.input, *model.graph.output))


def _case(case: TestCase) -> Case:
    assert case.model is not None
    assert case.data_sets is not None
    ((inputs, outputs),) = case.data_sets
    graph = case.model.graph
    name = case.name.split(EXPANDED)[0]
    return Case(
        name=case.name,
        op_type=node_tests._existing_names[name].op_type,
        model=case.model,
        inputs=_arrays(graph.input, inputs),
        outputs=_arrays(graph.output, outputs),
        rtol=case.rtol,
        atol=case.atol,
    )


def _arrays(values: Sequence[onnx.ValueInfoProto], contents: Sequence[object]) -> dict[str, object]:
    arrays = (numpy_helper.to_array(content) if isinstance(content, onnx.TensorProto) else content for content in contents)
    names = [value.name for value in values]
    return {name: array if array is None or isinstance(array, list) else np.asarray(array) for name, array in zip(names, arrays, strict=True)}
