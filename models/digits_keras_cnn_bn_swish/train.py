"""Trains the Keras CNN and exports it through `tf2onnx.convert.from_function`; images stay channels-last.

uv run --extra tensorflow --with scikit-learn python models/digits_keras_cnn_bn_swish/train.py
"""

import sys
from pathlib import Path

import keras
import tensorflow as tf
import tf2onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

import digits

HERE = Path(__file__).parent
SEED = 0
EPOCHS = 40
BATCH = 64


def prepare(images: digits.Images) -> digits.Images:
    """[samples, height, width] in 0..1 -> [samples, height, width, 1] in -1..1."""
    return (images * 2 - 1)[..., None]


def bn_swish(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """BatchNormalization, then Swish."""
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.Activation("swish", name=f"{name}_swish")(x)


def separable(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Depthwise 3x3, BatchNormalization, Swish, pointwise 1x1, BatchNormalization; stride 2 pads at the end only, as TensorFlow does."""
    x = keras.layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = bn_swish(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pointwise")(x)
    return keras.layers.BatchNormalization(name=f"{name}_pointwise_bn")(x)


def cnn() -> keras.Model:
    """Image [batch, digits.SIZE, digits.SIZE, 1] in -1..1 -> logits [batch, 10].

    `stay1_bn` normalises a sum on its way into a Swish, so no convolution can take it up.
    """
    image = keras.Input((digits.SIZE, digits.SIZE, 1), name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(image)
    x = bn_swish(x, "stem")
    x = keras.layers.Activation("swish", name="down1_swish")(separable(x, 32, 2, "down1"))
    x = keras.layers.Add(name="stay1_add")([x, separable(x, 32, 1, "stay1")])
    x = bn_swish(x, "stay1")
    x = keras.layers.Activation("swish", name="down2_swish")(separable(x, 64, 2, "down2"))
    x = keras.layers.Add(name="stay2_add")([x, separable(x, 64, 1, "stay2")])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(10, name="head")(x), name="digits_cnn")


def fit(model: keras.Model, train: digits.Split) -> None:
    """Trains in place on shifted, turned and scaled images; the number of epochs is fixed, nothing is chosen by the held-out images."""
    distort = keras.Sequential(
        [
            keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant", fill_value=-1.0),
            keras.layers.RandomRotation(10 / 360, fill_mode="constant", fill_value=-1.0),
            keras.layers.RandomZoom(0.1, fill_mode="constant", fill_value=-1.0),
        ]
    )
    image = keras.Input(model.input_shape[1:])
    trainer = keras.Model(image, model(distort(image)))
    steps = EPOCHS * -(-len(train.images) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=1e-2, warmup_steps=steps // 10)
    trainer.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(prepare(train.images), train.labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)


def main() -> None:
    """Writes model.onnx, calibration.npz and evaluation.npz beside this file, and the model's row in README.md."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(SEED)
    train, held_out = digits.load()
    model = cnn()
    fit(model, train)

    @tf.function
    def forward(image: tf.Tensor) -> tf.Tensor:
        return model(image, training=False)

    signature = [tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")]
    tf2onnx.convert.from_function(forward, input_signature=signature, output_path=str(HERE / "model.onnx"))
    digits.write_data(HERE, prepare(train.images), prepare(held_out.images), held_out.labels, seed=SEED)
    digits.record(HERE)


if __name__ == "__main__":
    main()
