"""Zeros and clusters that are kept while a torch module is trained with its rounding, counted in the int8 file."""

from pathlib import Path
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

from torch_nets import Cnn, batch, fit  # noqa: E402  # needs torch

from bridge import qat  # noqa: E402
from bridge.compress import cluster, keep, prune  # noqa: E402

CLUSTERS = 8
WEIGHTS = ("c1", "c2", "fc")


class Plain(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """Two convolutions and a Linear, without BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.c2, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        return self.fc(torch.relu(self.c2(torch.relu(self.c1(x)))).mean((2, 3)))


def stored(path: Path) -> list[np.ndarray]:
    """int8 constants of 64 values or more in the order of their kernels, [output channels, others]: read with the schema of TFLite alone."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    tensors, found = model.subgraphs[0].tensors, []
    for operator in model.subgraphs[0].operators:
        for index in operator.inputs:
            data = model.buffers[tensors[index].buffer].data if index >= 0 else None
            if data is not None and tensors[index].type == schema.TensorType.INT8 and len(data) >= 64:
                found.append(np.asarray(data, np.uint8).view(np.int8).reshape(tensors[index].shape[0], -1))
    return found


def trained(net: Any, **options: Any) -> tuple[list[np.ndarray], list[np.ndarray], Any]:
    """The weights before, as [output channels, others] with channels last, those after, and the prepared module."""
    prepared = qat.prepare(net, batch(-1)[:1], rules=("all-int8",), **options)
    kept = keep(prepared)
    before = weights(prepared)
    optimizer = torch.optim.Adam([one for one in prepared.parameters() if one.requires_grad], 3e-3)
    optimizer.register_step_post_hook(kept.project)
    for step in range(6):
        x, labels = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(prepared(x), labels).backward()
        optimizer.step()
    qat.freeze(prepared)
    return before, weights(prepared), prepared.eval()


def weights(net: Any) -> list[np.ndarray]:
    values = [net.get_parameter(f"{name}.weight").detach().numpy() for name in WEIGHTS]
    return [(value.transpose(0, 2, 3, 1) if value.ndim == 4 else value).reshape(len(value), -1).copy() for value in values]


@pytest.mark.parametrize(
    ("sparsity", "clusters", "ranges"),
    [(0.5, 0, "moving_average"), (0.0, CLUSTERS, "moving_average"), (0.5, CLUSTERS, "learned")],
    ids=["zeros", "clusters", "both"],
)
def test_the_file_has_the_zeros_and_the_number_of_values(tmp_path: Path, sparsity: float, clusters: int, ranges: Any) -> None:
    net = fit(Plain(), 20)
    if sparsity:
        prune(net, sparsity)
    if clusters:
        cluster(net, clusters)
    before, after, prepared = trained(net, ranges=ranges)
    result = qat.convert(prepared, batch(-1)[:1], output_dir=tmp_path, threads=1, compare=False)
    integers = stored(result.artifacts["static_wi8_ai8"])
    assert [one.shape for one in integers] == [one.shape for one in before]
    for old, new, integer in zip(before, after, integers, strict=True):
        assert not np.array_equal(old, new)
        if sparsity:
            assert np.count_nonzero(old == 0) == round(sparsity * old.size)
            assert not integer[old == 0].any()
        if clusters:
            assert len(np.unique(integer)) <= clusters
            assert all(len(np.unique(integer[old == one])) == 1 for one in np.unique(old))
        else:
            assert len(np.unique(integer)) > 2 * CLUSTERS


def test_behind_batch_norm_clusters_hold_per_channel_and_zeros_everywhere(tmp_path: Path) -> None:
    net = fit(Cnn(), 20)
    prune(net, 0.5)
    cluster(net, CLUSTERS)
    before, _, prepared = trained(net)
    result = qat.convert(prepared, batch(-1)[:1], output_dir=tmp_path, threads=1, compare=False)
    integers = stored(result.artifacts["static_wi8_ai8"])
    for old, integer in zip(before, integers, strict=True):
        assert not integer[old == 0].any()
        assert max(len(np.unique(channel)) for channel in integer) <= CLUSTERS
    assert len(np.unique(integers[2])) <= CLUSTERS  # Linear has no BatchNorm
