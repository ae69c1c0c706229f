"""Zeros and clusters that are kept while a Keras model is trained with its rounding, counted in the int8 file."""

import contextlib
from pathlib import Path
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
keras = pytest.importorskip("keras", reason="the extra `tensorflow` is not installed")
pytest.importorskip("tensorflow", reason="the extra `tensorflow` is not installed")

from bridge import qat  # noqa: E402  # behind the skip, as the frameworks
from bridge.compress import cluster, keep, prune  # noqa: E402

CLUSTERS = 8
layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore")


def net() -> Any:
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 3), name="image")
    for name in ("c1", "c2"):
        x = layers.Conv2D(8, 3, padding="same", name=name)(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(x))
    model = keras.Model(image, layers.Dense(10, name="fc")(layers.Flatten()(x)), name="net")
    for name in ("c1_norm", "c2_norm"):
        rng = np.random.default_rng(0)
        model.get_layer(name).set_weights([rng.uniform(0.5, 1.5, 8), rng.normal(size=8), rng.normal(size=8), rng.uniform(0.5, 2, 8)])
    return model


def weights(model: Any) -> list[np.ndarray]:
    """[output channels, others]."""
    values = [np.asarray(model.get_layer(name).kernel) for name in ("c1", "c2", "fc")]
    return [np.moveaxis(value, -1, 0).reshape(value.shape[-1], -1) for value in values]


def stored(path: Path) -> list[np.ndarray]:
    """int8 constants of 64 values or more in the order of their kernels, [output channels, others]: read with the schema of TFLite alone."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    tensors = model.subgraphs[0].tensors
    read = [tensors[index] for operator in model.subgraphs[0].operators for index in operator.inputs if index >= 0]
    found = [(tensor.shape[0], model.buffers[tensor.buffer].data) for tensor in read if tensor.type == schema.TensorType.INT8]
    return [np.asarray(data, np.uint8).view(np.int8).reshape(count, -1) for count, data in found if data is not None and len(data) >= 64]


def test_the_file_has_the_zeros_and_the_number_of_values(tmp_path: Path) -> None:
    model = net()
    prune(model, 0.5)
    cluster(model, CLUSTERS)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((32, 8, 8, 3)).astype(np.float32), rng.integers(0, 10, 32)
    prepared = qat.prepare(model, (x,), rules=("all-int8",))
    kept = keep(prepared)
    before = weights(prepared.model)
    prepared.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    hold = keras.callbacks.LambdaCallback(on_train_batch_end=kept.project)
    prepared.fit(x, labels, batch_size=16, epochs=2, verbose=0, callbacks=[hold])
    after = weights(prepared.model)
    qat.freeze(prepared)
    result = qat.convert(prepared, output_dir=tmp_path, threads=1, compare=False)
    integers = stored(Path(result.artifacts["static_wi8_ai8"]))
    assert [one.shape for one in integers] == [one.shape for one in before]
    for place, (old, new, integer) in enumerate(zip(before, after, integers, strict=True)):
        assert not np.array_equal(old, new)
        assert np.count_nonzero(old == 0) == round(0.5 * old.size)
        assert not integer[old == 0].any()
        parts = list(integer) if place < 2 else [integer]  # folding BatchNorm keeps the number per channel
        assert max(len(np.unique(part)) for part in parts) <= CLUSTERS
