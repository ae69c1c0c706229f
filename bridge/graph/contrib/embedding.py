"""EmbedLayerNormalization: sums of embeddings, normalised."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.expansion import UNKNOWN_SHAPE, is_read, operand, total
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def embed_layer_norm(build: Builder, node: ir.Node) -> Replacement | str:
    """EmbedLayerNormalization(input_ids, segment_ids, word, position, segment, gamma, beta, mask, position_ids).

    The second output counts the mask of each sequence, the third is the sum before it is normalised.
    """
    ids, segment_ids, word, position, segment, gamma, beta, mask, position_ids = (operand(node, index) for index in range(9))
    shape = static_shape(ids)
    if shape is None or position is None:
        return UNKNOWN_SHAPE
    where = build.constant(np.arange(shape[1])[None]) if position_ids is None else position_ids
    parts = [build.op("Gather", table, index) for table, index in ((word, ids), (position, where))]
    if segment is not None and segment_ids is not None:
        parts.append(build.op("Gather", segment, segment_ids))
    summed = total(build, *parts)
    attributes = {"axis": -1, "epsilon": node.attributes.get_float("epsilon", 1e-12)}
    result = build.op("LayerNormalization", summed, gamma, beta, attributes=attributes)
    count = None
    if is_read(node, 1):
        ones = build.constant(np.zeros(shape, np.int32)) if mask is None else mask
        count = build.op("ReduceSum", ones, build.integers([1]), attributes={"keepdims": 0})
    return build.done(result, count, summed)
