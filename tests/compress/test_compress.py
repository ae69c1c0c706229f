"""Zeros and clusters of torch modules and Keras models through training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bridge.compress import cluster, keep, prune
from bridge.errors import UsageError

RNG = np.random.default_rng(4)
INPUTS = RNG.standard_normal((32, 12)).astype(np.float32)
TARGETS = RNG.standard_normal((32, 3)).astype(np.float32)


def torch_net() -> Any:
    torch = pytest.importorskip("torch", reason="an extra")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 40), torch.nn.LayerNorm(40), torch.nn.ReLU(), torch.nn.Linear(40, 3))


def train_torch(net: Any, project: Callable[..., None]) -> None:
    import torch

    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    optimizer.register_step_post_hook(project)
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(torch.from_numpy(INPUTS)), torch.from_numpy(TARGETS)).backward()
        optimizer.step()


def torch_values(net: Any) -> list[np.ndarray]:
    return [net[at].weight.detach().numpy().copy() for at in (0, 3)]


def keras_net() -> Any:
    pytest.importorskip("torch._dynamo", reason="an extra; TensorFlow before it ends the process")
    keras = pytest.importorskip("keras", reason="an extra")
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((12,)), keras.layers.Dense(40, "relu", name="first"), keras.layers.Dense(3, name="last")])


def train_keras(net: Any, project: Callable[..., None]) -> None:
    import keras

    net.compile(keras.optimizers.Adam(0.01), "mse")
    net.fit(INPUTS, TARGETS, batch_size=8, epochs=2, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=project)])


def keras_values(net: Any) -> list[np.ndarray]:
    return [net.get_layer(name).kernel.numpy().copy() for name in ("first", "last")]


FRAMEWORKS = {"torch": (torch_net, train_torch, torch_values), "keras": (keras_net, train_keras, keras_values)}
each_framework = pytest.mark.parametrize("framework", list(FRAMEWORKS))


@each_framework
@pytest.mark.parametrize("sparsity", [0.5, 0.8])
def test_pruned_weights_are_the_smallest_and_stay_zero_while_the_others_learn(framework: str, sparsity: float) -> None:
    make, train, values = FRAMEWORKS[framework]
    net = make()
    before = values(net)
    kept = prune(net, sparsity)
    pruned = values(net)
    for old, new in zip(before, pruned, strict=True):
        assert np.count_nonzero(new == 0) == round(sparsity * new.size)
        assert np.abs(old[new == 0]).max() <= np.abs(new[new != 0]).min()
        assert (new[new != 0] == old[new != 0]).all()
    train(net, kept.project)
    for old, new in zip(pruned, values(net), strict=True):
        assert ((new == 0) >= (old == 0)).all()
        assert (new[old != 0] != old[old != 0]).any()
        assert len(np.unique(new)) > 0.9 * np.count_nonzero(new)


@each_framework
def test_clusters_stay_together_while_their_values_learn(framework: str) -> None:
    make, train, values = FRAMEWORKS[framework]
    net = make()
    kept = cluster(net, 8)
    before = values(net)
    train(net, kept.project)
    for old, new in zip(before, values(net), strict=True):
        assert len(np.unique(old)) == 8
        assert all(len(np.unique(new[old == one])) == 1 for one in np.unique(old))
        assert not np.array_equal(old, new)


@each_framework
def test_both_together_keep_zeros_and_the_number_of_values(framework: str) -> None:
    make, train, values = FRAMEWORKS[framework]
    net = make()
    prune(net, 0.5)
    before = values(net)
    kept = cluster(net, 8)
    train(net, kept.project)
    for old, new in zip(before, values(net), strict=True):
        assert ((new == 0) == (old == 0)).all()
        assert len(np.unique(new)) <= 8


def test_zeros_that_torch_made_are_kept() -> None:
    net = torch_net()
    from torch.nn.utils import prune as torch_prune

    torch_prune.l1_unstructured(net[0], "weight", amount=0.6)
    torch_prune.remove(net[0], "weight")
    before = torch_values(net)[0]
    train_torch(net, keep(net).project)
    after = torch_values(net)[0]
    assert np.count_nonzero(before == 0) == round(0.6 * before.size)
    assert ((after == 0) == (before == 0)).all()
    assert not np.array_equal(before, after)


def test_a_mask_that_torch_still_holds_is_refused() -> None:
    net = torch_net()
    from torch.nn.utils import prune as torch_prune

    torch_prune.l1_unstructured(net[0], "weight", amount=0.6)
    with pytest.raises(UsageError, match=r"^0\.weight: torch\.nn\.utils\.prune holds its zeros in a mask") as caught:
        keep(net)
    assert "prune.remove" in caught.value.hint


def test_a_skipped_layer_and_vectors_are_left_alone() -> None:
    net = torch_net()
    before = torch_values(net)
    prune(net, 0.5, skip=["3.*"])
    assert np.array_equal(torch_values(net)[1], before[1])
    assert (net[1].weight == 1).all()


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"torch nn\.Module or a Keras 3 model\. Received: str"):
        prune("net.onnx")


def test_nothing_to_compress_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"no trainable weight of 64 values or more outside skip=\['\*'\]\. Received: 0\.weight") as caught:
        cluster(torch_net(), skip=["*"])
    assert "patterns" in caught.value.hint


@pytest.mark.parametrize("sparsity", [-0.1, 1.0])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(UsageError, match=rf"sparsity must be in 0 \.\. 1, below 1\. Received: {sparsity}"):
        prune(object(), sparsity)


def test_one_cluster_is_refused() -> None:
    with pytest.raises(UsageError, match=r"clusters must be 2 or more\. Received: 1"):
        cluster(object(), 1)
