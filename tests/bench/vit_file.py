"""Writes a float TFLite file with the operators and the size of a ViT-S/16: 22 million parameters, 12 blocks, 197 tokens of 384 channels."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bridge.files import write_bytes
from bridge.tflite import model as tflite

BLOCKS, TOKENS, WIDTH, HEADS, HIDDEN, CLASSES, SIDE, PATCH = 12, 197, 384, 6, 1536, 1000, 224, 16


def write_vit(path: Path) -> Path:
    """Writes it, with random weights."""
    writer = _Writer()
    image = writer.tensor("image", (1, SIDE, SIDE, 3))
    patches = writer.op("CONV_2D", (1, 14, 14, WIDTH), image, writer.weight(WIDTH, PATCH, PATCH, 3), writer.weight(WIDTH))
    writer.options("Conv2DOptions", strideW=PATCH, strideH=PATCH, dilationWFactor=1, dilationHFactor=1, padding=1)
    tokens = writer.op("CONCATENATION", (1, TOKENS, WIDTH), writer.weight(1, 1, WIDTH), writer.reshape(patches, (1, TOKENS - 1, WIDTH)))
    writer.options("ConcatenationOptions", axis=1)
    x = writer.add(tokens, writer.weight(1, TOKENS, WIDTH))
    for _ in range(BLOCKS):
        x = writer.add(x, writer.attention(writer.norm(x)))
        hidden = writer.op("GELU", (TOKENS, HIDDEN), writer.dense(writer.reshape(writer.norm(x), (TOKENS, WIDTH)), HIDDEN))
        writer.options("GeluOptions", approximate=False)
        x = writer.add(x, writer.reshape(writer.dense(hidden, WIDTH), (1, TOKENS, WIDTH)))
    mean = writer.op("MEAN", (1, WIDTH), writer.norm(x), writer.ints(1))
    writer.options("ReducerOptions", keepDims=False)
    logits = writer.dense(mean, CLASSES)
    writer.graph.inputs, writer.graph.outputs = np.array([image], np.int32), np.array([logits], np.int32)
    write_bytes(path, tflite.serialize(writer.model))
    return path


class _Writer:
    def __init__(self) -> None:
        self.model = tflite.new_model("bench")
        self.graph = tflite.main_graph(self.model)
        self.random = np.random.default_rng(0)
        self.shapes: dict[int, tuple[int, ...]] = {}

    def tensor(self, name: str, shape: tuple[int, ...]) -> int:
        index = tflite.add_tensor(self.model, self.graph, name, "FLOAT32", shape)
        self.shapes[index] = shape
        return index

    def weight(self, *shape: int) -> int:
        value = (self.random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
        return self.constant(value)

    def constant(self, value: np.ndarray) -> int:
        kind = "INT32" if value.dtype.kind == "i" else "FLOAT32"
        buffer = tflite.add_buffer(self.model, value)
        return tflite.add_tensor(self.model, self.graph, f"c{len(self.graph.tensors)}", kind, value.shape, buffer=buffer)

    def ints(self, *values: int) -> int:
        return self.constant(np.array(values, np.int32))

    def op(self, name: str, shape: tuple[int, ...], *inputs: int) -> int:
        output = self.tensor(f"t{len(self.graph.tensors)}", shape)
        self.graph.operators.append(tflite.add_op(self.model, name, 2 if name == "BATCH_MATMUL" else 1, inputs, (output,)))
        return output

    def options(self, name: str, **fields: object) -> None:
        """Of the operator added last."""
        tflite.set_options(self.graph.operators[-1], name, **fields)

    def add(self, left: int, right: int) -> int:
        output = self.op("ADD", self.shapes[left], left, right)
        self.options("AddOptions")
        return output

    def multiply(self, left: int, right: int) -> int:
        output = self.op("MUL", self.shapes[left], left, right)
        self.options("MulOptions")
        return output

    def reshape(self, x: int, shape: tuple[int, ...]) -> int:
        return self.op("RESHAPE", shape, x, self.ints(*shape))

    def transpose(self, x: int, order: Sequence[int]) -> int:
        return self.op("TRANSPOSE", tuple(self.shapes[x][axis] for axis in order), x, self.ints(*order))

    def dense(self, x: int, width: int) -> int:
        """Of [rows, channels]."""
        rows, channels = self.shapes[x]
        output = self.op("FULLY_CONNECTED", (rows, width), x, self.weight(width, channels), self.weight(width))
        self.options("FullyConnectedOptions")
        return output

    def norm(self, x: int) -> int:
        mean = self.op("MEAN", (1, TOKENS, 1), x, self.ints(2))
        self.options("ReducerOptions", keepDims=True)
        centred = self.op("SUB", self.shapes[x], x, mean)
        self.options("SubOptions")
        variance = self.op("MEAN", (1, TOKENS, 1), self.multiply(centred, centred), self.ints(2))
        self.options("ReducerOptions", keepDims=True)
        deviation = self.op("RSQRT", (1, TOKENS, 1), self.add(variance, self.constant(np.full((1, 1, 1), 1e-6, np.float32))))
        return self.add(self.multiply(self.multiply(centred, deviation), self.weight(1, 1, WIDTH)), self.weight(1, 1, WIDTH))

    def attention(self, x: int) -> int:
        flat = self.reshape(x, (TOKENS, WIDTH))
        q, k, v = (
            self.transpose(self.reshape(self.dense(flat, WIDTH), (1, TOKENS, HEADS, WIDTH // HEADS)), order)
            for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
        )
        scores = self.op("BATCH_MATMUL", (1, HEADS, TOKENS, TOKENS), q, k)
        self.options("BatchMatMulOptions")
        scaled = self.multiply(scores, self.constant(np.array([0.125], np.float32)))
        weights = self.op("SOFTMAX", self.shapes[scaled], scaled)
        self.options("SoftmaxOptions", beta=1.0)
        mixed = self.op("BATCH_MATMUL", (1, HEADS, TOKENS, WIDTH // HEADS), weights, v)
        self.options("BatchMatMulOptions")
        joined = self.reshape(self.transpose(mixed, (0, 2, 1, 3)), (TOKENS, WIDTH))
        return self.reshape(self.dense(joined, WIDTH), (1, TOKENS, WIDTH))
