"""The reader and the writer of TFLite files against those that flatbuffers generates."""

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.builder import LARGE, Builder, VectorBuilder
from bridge.tflite.unpack import unpack


def written(model: tflite.ModelT, builder: flatbuffers.Builder) -> bytes:
    builder.Finish(model.Pack(builder), tflite.FILE_IDENTIFIER)
    return bytes(builder.Output())


@pytest.fixture
def model() -> tflite.ModelT:
    """Every kind of table that either side treats apart: options of numbers, with a vector, of a custom operator, of StableHLO; sparse tensors."""
    model = tflite.new_model("test")
    graph = tflite.main_graph(model)
    weight = tflite.add_buffer(model, np.arange(12, dtype=np.int8))
    for name in ("a", "longer name", "c"):
        tflite.add_tensor(model, graph, name, "FLOAT32", (1, 4))
    tflite.add_tensor(model, graph, "w", "INT8", (3, 4), buffer=weight)
    tflite.set_type(graph.tensors[3], "INT8", (0.5, 0.25, 1.0), (0, 0, 1), axis=1)
    graph.tensors[1].shapeSignature, graph.tensors[1].hasRank = np.array([-1, 4], np.int32), True
    graph.tensors[2].sparsity, graph.tensors[2].isVariable = schema.SparsityParametersT(traversalOrder=np.array([0, 1], np.int32)), True
    graph.tensors[0].quantization = schema.QuantizationParametersT(
        min=np.array([-1], np.float32), detailsType=1, details=schema.CustomQuantizationT(custom=np.array([1, 2], np.uint8))
    )
    for name, options, fields in (
        ("CONV_2D", "Conv2DOptions", {"strideH": 2, "fusedActivationFunction": 1, "dilationWFactor": 1}),
        ("CONV_2D", "Conv2DOptions", {"strideH": 2, "fusedActivationFunction": 1, "dilationWFactor": 1}),
        ("RESHAPE", "ReshapeOptions", {"newShape": np.array([1, 4], np.int32)}),
        ("LEAKY_RELU", "LeakyReluOptions", {"alpha": 0.1}),
    ):
        op = tflite.add_op(model, name, 1, (0, 3, -1), (1,))
        tflite.set_options(op, options, **fields)
        graph.operators.append(op)
    graph.operators.append(tflite.custom_op(model, "Mine", (1,), (2,), {"size": 3}))
    graph.operators.append(tflite.add_op(model, "STABLEHLO_IOTA", 1, (), (2,)))
    graph.operators[-1].builtinOptions2Type = schema.BuiltinOptions2.StablehloIotaOptions
    graph.operators[-1].builtinOptions2 = schema.StablehloIotaOptionsT(iotaDimension=1)
    graph.operators[0].intermediates = np.array([2], np.int32)
    graph.operators[1].mutatingVariableInputs = np.array([True, False])
    graph.operators[2].largeCustomOptionsOffset = 1 << 40
    graph.operators[3].debugMetadataIndex = 5
    tflite.add_signature(model, "serving_default", {"x": 0}, {"y": 2})
    model.metadata = [schema.MetadataT(name=b"version", buffer=1)]
    return model


def test_files_have_the_bytes_that_flatbuffers_writes(model: tflite.ModelT) -> None:
    expected = written(model, VectorBuilder(1 << 12))
    assert written(model, Builder(1 << 12)) == expected
    assert written(model, Builder(4)) == expected  # it grows


def test_large_data_have_the_same_place_when_they_are_referred_to(model: tflite.ModelT) -> None:
    for size in (LARGE + 5, 3, 2 * LARGE):
        data = tflite.add_buffer(model, np.full(size, size % 7, np.int8))
        tflite.add_tensor(model, tflite.main_graph(model), f"{size}", "INT8", (size,), buffer=data)
    expected = written(model, VectorBuilder(1 << 12))
    for room in (0, 1 << 20):  # it grows, or not
        builder = Builder(room, referring=True)
        builder.Finish(model.Pack(builder), tflite.FILE_IDENTIFIER)
        pieces = list(builder.pieces())
        assert b"".join(pieces) == expected
        assert sum(piece is buffer.data for piece in pieces for buffer in model.buffers) == 2
    assert tflite.serialize(model) == expected


@pytest.mark.parametrize("apart", [False, True])
def test_files_that_only_run_hold_the_same(model: tflite.ModelT, apart: bool) -> None:
    wanted = schema.ModelT.InitFromPackedBuf(tflite.serialize(model))
    with tflite.run_file(model, apart=apart).mapped() as content:
        found = schema.ModelT.InitFromPackedBuf(bytes(content))
    assert_same(found, wanted, "model")
    scales = [one.quantization.scale for one in tflite.main_graph(model).tensors[3:]]
    assert [scale.tolist() for scale in scales] == [[0.5, 0.25, 1.0]]


def test_files_are_read_as_flatbuffers_reads_them(model: tflite.ModelT) -> None:
    content = tflite.serialize(model)
    assert_same(unpack(content), schema.ModelT.InitFromPackedBuf(content), "model")


def test_operators_do_not_share_their_options(model: tflite.ModelT) -> None:
    first, second, *_ = tflite.main_graph(unpack(tflite.serialize(model))).operators
    first.builtinOptions.strideH = 7
    assert second.builtinOptions.strideH == 2


def test_a_file_that_ends_too_early_is_an_error(model: tflite.ModelT) -> None:
    content = tflite.serialize(model)
    for length in range(8, len(content), 16):
        with pytest.raises(InputError, match="the TFLite flatbuffer is damaged"):
            tflite.parse(content[:length], where="short.tflite")


def assert_same(found: Any, wanted: Any, where: str) -> None:
    assert type(found) is type(wanted), where
    if isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for position, pair in enumerate(zip(found, wanted, strict=True)):
            assert_same(*pair, f"{where}[{position}]")
    elif isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype, where
        np.testing.assert_array_equal(found, wanted, where)
    elif hasattr(wanted, "__dict__"):
        for name in vars(wanted):
            assert_same(getattr(found, name), getattr(wanted, name), f"{where}.{name}")
    else:
        assert found == wanted, where


def test_a_file_of_many_channels_is_written_into_memory_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tflite.new_model("test")
    channels = 1 << 16
    for layer in range(2):
        weight = tflite.add_buffer(model, np.full(channels, layer, np.int8))
        tensor = tflite.add_tensor(model, tflite.main_graph(model), f"w{layer}", "INT8", (channels,), buffer=weight)
        tflite.set_type(tflite.main_graph(model).tensors[tensor], "INT8", (np.arange(1, channels + 1) + layer).tolist(), [layer] * channels)
    grown: list[int] = []
    monkeypatch.setattr(flatbuffers.Builder, "GrowByteBuffer", lambda builder: grown.append(len(builder.Bytes)))
    tflite.serialize(model)
    assert not grown
