"""An operator that a rule keeps float, as a module: its class reaches the ONNX file, and whoever reads Q and DQ around it knows that they are its own."""

from collections.abc import Callable
from typing import Any

import torch


class KeptFloat(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """One operator. `bridge.graph.quantized_source` knows the class by its name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the operator gives."""
        return self.function(*args, **kwargs)
