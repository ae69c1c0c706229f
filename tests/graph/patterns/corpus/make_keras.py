"""Writes the corpus files of Keras 3 through tf2onnx; needs tensorflow (2.16 or later) and tf2onnx.

uv run --no-project --with tensorflow --with tf2onnx python tests/graph/patterns/corpus/make_keras.py
"""

import os
import sys
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import onnx
import tensorflow as tf
import tf2onnx
from keras import activations, initializers, layers, ops

HERE = Path(__file__).parent
EXPORTER, OPSET = "keras3-17", 17
SIZE, TOKENS, HEADS = 8, 5, 2
RANDOM = initializers.RandomUniform(0.3, 1.2, seed=0)
T = keras.KerasTensor


class Spelled(layers.Layer):
    """A function of one tensor and of constants, as the layer `target`."""

    def __init__(self, function: Callable[..., T], *shapes: tuple[int, ...]) -> None:
        super().__init__(name="target")
        self.function = function
        self.constants = [self.add_weight(shape=shape, initializer=RANDOM, name=f"constant_{index}") for index, shape in enumerate(shapes)]

    def call(self, given: T | list[T]) -> T:
        return self.function(*(given if isinstance(given, list) else [given]), *self.constants)


def tokens(target: layers.Layer) -> keras.Model:
    x = keras.Input((TOKENS, SIZE), batch_size=2)
    return keras.Model(x, layers.Dense(3)(target(layers.Dense(SIZE)(x))))


def picture(target: layers.Layer) -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    return keras.Model(x, layers.Conv2D(3, 1)(target(layers.Conv2D(SIZE, 1, activation="relu")(x))))


def first(target: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    x = keras.Input(shape, batch_size=1)
    return keras.Model(x, layers.Conv2D(3, 1)(layers.ReLU()(layers.Conv2D(4, 1)(target(x)))))


def activation(name: str) -> keras.Model:
    return tokens(layers.Activation(name, name="target"))


class Attention(layers.Layer):
    """Projections, and the attention between them as the layer `target`."""

    def __init__(self, core: Callable[..., T]) -> None:
        super().__init__(name="block")
        self.qkv, self.target, self.out = layers.Dense(3 * SIZE), Spelled(core), layers.Dense(SIZE)

    def call(self, x: T) -> T:
        return self.out(self.target(self.qkv(x)))


def _split_heads(x: T) -> T:
    return ops.transpose(ops.reshape(x, (2, TOKENS, HEADS, SIZE // HEADS)), (0, 2, 1, 3))


def _attend(q: T, k: T, v: T) -> T:
    scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / sqrt(SIZE // HEADS), axis=-1)
    return ops.reshape(ops.transpose(ops.matmul(scores, v), (0, 2, 1, 3)), (2, TOKENS, SIZE))


def _split(qkv: T) -> T:
    return _attend(*(_split_heads(part) for part in ops.split(qkv, 3, axis=-1)))


def _gathered(qkv: T) -> T:
    whole = ops.transpose(ops.reshape(qkv, (2, TOKENS, 3, HEADS, SIZE // HEADS)), (2, 0, 3, 1, 4))
    return _attend(whole[0], whole[1], whole[2])


def _attention(layer: layers.Layer, **options: object) -> keras.Model:
    x = keras.Input((TOKENS, SIZE), batch_size=2)
    hidden = layers.Dense(SIZE)(x)
    return keras.Model(x, layers.Dense(3)(layer(hidden, hidden, **options)))


def _masked_attention() -> keras.Model:
    x, mask = keras.Input((TOKENS, SIZE), batch_size=2), keras.Input((TOKENS, TOKENS), batch_size=2, dtype="bool")
    hidden = layers.Dense(SIZE)(x)
    attended = layers.MultiHeadAttention(HEADS, SIZE // HEADS, name="target", flash_attention=False)(hidden, hidden, attention_mask=mask)
    return keras.Model([x, mask], layers.Dense(3)(attended))


def _excite(*, hard: bool = False) -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    y = layers.Conv2D(SIZE, 1, activation="relu")(x)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="target_mean")(y)
    gate = layers.Conv2D(4, 1, activation="relu", name="target_reduce")(squeezed)
    gate = layers.Conv2D(SIZE, 1, activation="hard_sigmoid" if hard else "sigmoid", name="target_expand")(gate)
    return keras.Model(x, layers.Conv2D(3, 1)(layers.Multiply(name="target_scale")([y, gate])))


def _excite_dense() -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    y = layers.Conv2D(SIZE, 1, activation="relu")(x)
    gate = layers.Dense(4, activation="relu", name="target_reduce")(layers.GlobalAveragePooling2D(name="target_mean")(y))
    gate = layers.Reshape((1, 1, SIZE), name="target_shape")(layers.Dense(SIZE, activation="sigmoid", name="target_expand")(gate))
    return keras.Model(x, layers.Conv2D(3, 1)(layers.Multiply(name="target_scale")([y, gate])))


def _residual(*, post: bool) -> keras.Model:
    x = keras.Input((TOKENS, SIZE), batch_size=2)
    y = layers.Dense(SIZE)(x)
    inner = y if post else layers.LayerNormalization()(y)
    inner = layers.Dense(SIZE)(layers.Dense(2 * SIZE, activation="gelu")(inner))
    total = layers.Add(name="target")([y, inner])
    return keras.Model(x, layers.Dense(3)(layers.LayerNormalization()(total) if post else total))


def _cnn_residual() -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    y = layers.Conv2D(SIZE, 1, activation="relu")(x)
    inner = layers.Conv2D(SIZE, 3, padding="same")(layers.Conv2D(SIZE, 3, padding="same", activation="relu")(y))
    return keras.Model(x, layers.Conv2D(3, 1)(layers.Add(name="target")([y, inner])))


class _Positions(layers.Layer):
    def __init__(self) -> None:
        super().__init__(name="positions")
        self.table, self.target = layers.Embedding(TOKENS, SIZE), layers.Add(name="target")

    def call(self, x: T) -> T:
        return self.target([x, ops.broadcast_to(self.table(ops.arange(TOKENS))[None], (2, TOKENS, SIZE))])


def _positions(*, parameter: bool) -> keras.Model:
    ids = keras.Input((TOKENS,), batch_size=2, dtype="int32")
    x = layers.Embedding(11, SIZE)(ids)
    added = Spelled(lambda x, table: x + table, (1, TOKENS, SIZE)) if parameter else _Positions()
    return keras.Model(ids, layers.Dense(3)(layers.LayerNormalization()(added(x))))


def _anchors(boxes: T, scores: T, anchors: T) -> tuple[T, T]:
    boxes, scores = ops.reshape(boxes, (1, 36, 4)), ops.reshape(scores, (1, 36, 3))
    centre, size = boxes[..., :2] * anchors[:, 2:] + anchors[:, :2], ops.exp(boxes[..., 2:]) * anchors[:, 2:]
    return ops.concatenate([centre - size / 2, centre + size / 2], axis=-1), ops.sigmoid(scores)


def _detector() -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    y = layers.Conv2D(SIZE, 3, padding="same", activation="relu")(x)
    return keras.Model(x, Spelled(_anchors, (36, 4))([layers.Conv2D(4, 1)(y), layers.Conv2D(3, 1)(y)]))


def _classifier() -> keras.Model:
    x = keras.Input((6, 6, 3), batch_size=1)
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(SIZE, 3, activation="relu")(x))
    return keras.Model(x, layers.Dense(3, name="target")(y))


def _norm_by_hand(x: T, scale: T, offset: T) -> T:
    mean, variance = ops.moments(x, axes=-1, keepdims=True)
    return (x - mean) * ops.rsqrt(variance + 1e-6) * scale + offset


def _rms_by_hand(x: T, scale: T) -> T:
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6) * scale


SPELLINGS: Mapping[str, Callable[[], keras.Model]] = {
    "layer_norm/layer": lambda: tokens(layers.LayerNormalization(name="target")),
    "layer_norm/layer_without_affine": lambda: tokens(layers.LayerNormalization(center=False, scale=False, name="target")),
    "layer_norm/layer_of_picture": lambda: picture(layers.LayerNormalization(name="target")),
    "layer_norm/layer_two_axes": lambda: tokens(layers.LayerNormalization(axis=[1, 2], name="target")),
    "layer_norm/moments_of_ops": lambda: tokens(Spelled(_norm_by_hand, (SIZE,), (SIZE,))),
    "rms_norm/layer": lambda: tokens(layers.RMSNormalization(name="target")),
    "rms_norm/ops": lambda: tokens(Spelled(_rms_by_hand, (SIZE,))),
    "group_norm/layer": lambda: picture(layers.GroupNormalization(4, name="target")),
    "group_norm/groups_of_one": lambda: picture(layers.GroupNormalization(-1, name="target")),
    "batch_norm/alone": lambda: picture(layers.BatchNormalization(name="target", gamma_initializer=RANDOM, beta_initializer=RANDOM)),
    "batch_norm/of_features": lambda: tokens(
        keras.Sequential([layers.ReLU(), layers.BatchNormalization(name="target", gamma_initializer=RANDOM, beta_initializer=RANDOM)], name="inner")
    ),
    "l2_norm/layer": lambda: tokens(layers.UnitNormalization(name="target")),
    "l2_norm/ops": lambda: tokens(Spelled(lambda x: ops.normalize(x, axis=-1))),
    "l2_norm/tensorflow": lambda: tokens(Spelled(lambda x: tf.math.l2_normalize(x, axis=-1))),
    "gelu/activation": lambda: activation("gelu"),
    "gelu/approximate": lambda: tokens(Spelled(lambda x: activations.gelu(x, approximate=True))),
    "gelu/exact": lambda: tokens(Spelled(lambda x: activations.gelu(x, approximate=False))),
    "gelu/quick": lambda: tokens(Spelled(lambda x: x * ops.sigmoid(1.702 * x))),
    "silu/activation": lambda: activation("silu"),
    "hard_swish/activation": lambda: activation("hard_silu"),
    "hard_sigmoid/activation": lambda: activation("hard_sigmoid"),
    "mish/activation": lambda: activation("mish"),
    "elu/activation": lambda: activation("elu"),
    "elu/layer": lambda: tokens(layers.ELU(alpha=0.5, name="target")),
    "selu/activation": lambda: activation("selu"),
    "celu/activation": lambda: tokens(Spelled(lambda x: activations.celu(x, alpha=0.7))),
    "softmax/activation": lambda: activation("softmax"),
    "softmax/layer": lambda: tokens(layers.Softmax(axis=1, name="target")),
    "log_softmax/activation": lambda: activation("log_softmax"),
    "log_softmax/of_softmax": lambda: tokens(Spelled(lambda x: ops.log(ops.softmax(x, axis=-1)))),
    "log_softmax/logsumexp": lambda: tokens(Spelled(lambda x: x - ops.logsumexp(x, axis=-1, keepdims=True))),
    "attention/split": lambda: tokens(Attention(_split)),
    "attention/gather": lambda: tokens(Attention(_gathered)),
    "attention/layer": lambda: _attention(layers.MultiHeadAttention(HEADS, SIZE // HEADS, name="target", flash_attention=False)),
    "attention/layer_causal": lambda: _attention(layers.MultiHeadAttention(HEADS, SIZE // HEADS, name="target"), use_causal_mask=True),
    "attention/layer_masked": _masked_attention,
    "attention/grouped_layer": lambda: _attention(layers.GroupQueryAttention(4, HEADS, 1, name="target")),
    "squeeze_excite/convolutions": _excite,
    "squeeze_excite/hard": lambda: _excite(hard=True),
    "squeeze_excite/dense": _excite_dense,
    "rescaling/layer": lambda: first(layers.Rescaling(1 / 127.5, offset=-1.0, name="target"), (6, 6, 3)),
    "rescaling/layer_scale": lambda: picture(Spelled(lambda x, factor: x * factor, (SIZE,))),
    "residual_add/feed_forward_pre": lambda: _residual(post=False),
    "residual_add/feed_forward_post": lambda: _residual(post=True),
    "cnn_residual_add/basic": _cnn_residual,
    "positional_embedding/parameter": lambda: _positions(parameter=True),
    "positional_embedding/embedding": lambda: _positions(parameter=False),
    "first_layer/convolution": lambda: first(layers.Conv2D(3, 3, name="target"), (6, 6, 3)),
    "last_layer/classifier": _classifier,
    "detection_tail/anchors": _detector,
}


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    model.doc_string = model.graph.doc_string = ""
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
    return model


def main(*wanted: str) -> None:
    """Writes the spellings whose name starts with one of `wanted`, all if there are none; says which cannot be written."""
    for name, make in SPELLINGS.items():
        if wanted and not name.startswith(wanted):
            continue
        keras.utils.set_random_seed(0)
        try:
            model = make()
            signature = [tf.TensorSpec(value.shape, value.dtype, name=f"input_{index}") for index, value in enumerate(model.inputs)]
            function = tf.function(lambda *given, model=model: model(list(given) if len(given) > 1 else given[0], training=False))
            proto = _stripped(tf2onnx.convert.from_function(function, signature, opset=OPSET)[0])
        except Exception as error:  # noqa: BLE001  # exporters raise anything; the table shows the gap
            sys.stderr.write(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:200]}\n")
            continue
        path = HERE / f"{name}.{EXPORTER}.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(proto.SerializeToString())


if __name__ == "__main__":
    main(*sys.argv[1:])
