"""Cross-layer equalization: factors per channel, taken from one layer and given to the next, so that the channels between them have like ranges.

A float file that computes the same, made before calibration. All channels of an activation share one int8 scale, so a channel that is small
beside the others loses bits. Weights have a scale per output channel, so dividing the first layer costs nothing; what counts is the activation
between the layers, whose ranges come from calibration samples, and the input channels of the next layer. Layers with clustered weights take no
part: their values would become other ones in every channel.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1, for the exchange of factors
between ReLU-like layers; with the ranges of activations in place of those of the first layer's weights as in Xiao et al. 2023, "SmoothQuant",
equation 4.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from bridge.quantize.clusters import is_clustered
from bridge.quantize.float_graph import read_graph
from bridge.recover.batches import Feeds
from bridge.recover.chains import Chain, channel_magnitudes, find_chains
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorMap, TensorPair

LARGEST_FACTOR = 1e3  # beyond it a channel is as good as dead, and float32 would lose what is left of it
REASON = "its channels were rescaled by equalization, so its values are not those of the source model"


def equalized(model: tflite.ModelT, feeds: Sequence[Feeds], *, where: str) -> tuple[bytes, frozenset[str]]:
    """The file with equalized channels, and the names of the activations that have other values for it; the file as it is without chains.

    Args:
        model: the float file; belongs to the function from now on.
        feeds: inputs that show how large activations get.
        where: names the file in errors.
    """
    graph = read_graph(model, where=where)
    chains = [chain for chain in find_chains(graph) if not any(is_clustered(graph.value(op.inputs[1])) for op in (chain.first, chain.last))]
    if not chains:
        return tflite.serialize(model), frozenset()
    magnitudes = _activation_magnitudes(model, chains, feeds)
    values = {at: graph.value(at).copy() for chain in chains for op in (chain.first, chain.last) for at in op.inputs[1:3] if at >= 0}
    for chain in chains:
        _rescale(chain, _factors(chain, magnitudes[chain], values[chain.last.inputs[1]]), values)
    for at, value in values.items():
        tflite.main_graph(model).tensors[at].buffer = tflite.add_buffer(model, value)
    return tflite.serialize(model), frozenset(graph.tensors[at].name for chain in chains for at in chain.tensors)


def without_pairs(tensor_map: TensorMap, rescaled: frozenset[str]) -> TensorMap:
    """The map in which tensors that have other values now have no counterpart."""

    def unpaired(pair: TensorPair) -> TensorPair:
        return TensorPair(pair.node, pair.tensor, "missing", REASON) if pair.tflite_tensor in rescaled else pair

    return replace(tensor_map, pairs=tuple(map(unpaired, tensor_map.pairs)))


def _activation_magnitudes(model: tflite.ModelT, chains: Sequence[Chain], feeds: Sequence[Feeds]) -> Mapping[Chain, np.ndarray]:
    """Largest magnitude per channel in the activations of each chain."""
    shown = [tensor for chain in chains for tensor in chain.tensors]
    owners = [chain for chain in chains for _ in chain.tensors]
    runner = Interpreter(tflite.expose(model, shown))
    found: dict[Chain, np.ndarray] = {}
    for one in feeds:
        for chain, value in zip(owners, runner.run(one), strict=True):
            largest = channel_magnitudes(value)
            found[chain] = np.maximum(found[chain], largest) if chain in found else largest
    return found


def _factors(chain: Chain, activation: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What the first layer is divided by: all of the imbalance where the next weight has a scale per channel, else what spreads it evenly."""
    found = activation.astype(np.float64)
    if not chain.per_channel:
        found = np.sqrt(found / np.maximum(channel_magnitudes(weight), np.finfo(np.float32).tiny))
    alive = (activation > 0) & (channel_magnitudes(weight) > 0)
    if not alive.any():
        return np.ones_like(found)
    found = np.where(alive, found / found[alive].max(), 1.0)
    clipped: np.ndarray = np.clip(found, 1 / LARGEST_FACTOR, 1.0)
    return clipped


def _rescale(chain: Chain, factors: np.ndarray, values: Mapping[int, np.ndarray]) -> None:
    """Moves the factors from the first layer to the last one, in place."""
    weight = values[chain.first.inputs[1]]
    outputs = weight.reshape(-1, weight.shape[-1]) if chain.first.name == "DEPTHWISE_CONV_2D" else weight.reshape(len(weight), -1).T
    np.divide(outputs, factors, out=outputs, casting="same_kind")
    if len(chain.first.inputs) > 2 and chain.first.inputs[2] >= 0:
        bias = values[chain.first.inputs[2]].reshape(-1)
        np.divide(bias, factors, out=bias, casting="same_kind")
    last = values[chain.last.inputs[1]]
    np.multiply(last, factors, out=last, casting="same_kind")
