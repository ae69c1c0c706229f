"""Normalising models that are written as ONNX text."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx_text import Normalize, Normalized, parse

from bridge.graph import normalize
from bridge.types import SourceModel


@pytest.fixture
def normalized() -> Normalize:
    """Normalises a model given as text or proto; `constants` are its initializers."""

    def build(
        model: str | onnx.ModelProto,
        *,
        opset: int = 17,
        constants: Mapping[str, np.ndarray] | None = None,
        input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Normalized:
        proto = parse(model, opset=opset, constants=constants or {}) if isinstance(model, str) else model
        content = proto.SerializeToString()
        graph = normalize(SourceModel(proto=proto, digest="d"), input_shapes=input_shapes or {})
        assert proto.SerializeToString() == content, "normalising changed the user's model"
        return Normalized(proto, graph)

    return build
