"""Lets onnx_ir load without SymPy, which it needs only for arithmetic on symbolic dimensions.

Measured with onnx_ir 1.1.0: `import onnx_ir` takes 1.7 s, 1.25 s of it SymPy. A normalised graph has no symbolic dimension.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

# What onnx_ir puts into a table while it loads; anything else it asks for loads the real thing at once.
_TABLED = frozenset({"Max", "Min", "Mod", "floor", "sqrt"})


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _call_later(name) if name in _TABLED else getattr(importlib.import_module("sympy"), name)


def _call_later(name: str) -> Callable[..., object]:
    return lambda *arguments: getattr(importlib.import_module("sympy"), name)(*arguments)


def import_onnx_ir() -> None:
    """Imports onnx_ir with a stand-in for SymPy that only onnx_ir sees; without effect where either is loaded already."""
    if "onnx_ir" in sys.modules or "sympy" in sys.modules:
        return
    sys.modules["sympy"] = _Deferred("sympy")
    try:
        importlib.import_module("onnx_ir")
    finally:
        del sys.modules["sympy"]
