"""Loads of two packages only what a conversion uses: onnx_ir without SymPy, onnxscript's constant folding without the rest of onnxscript.

A stand-in takes the place of what is left out while they load, and is gone afterwards: whoever imports the real one gets that.
"""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxscript.optimizer._constant_folding import FoldConstantsPass

# What onnx_ir puts into a table while it loads; anything else it asks for loads the real thing at once.
_TABLED = frozenset({"Max", "Min", "Mod", "floor", "sqrt"})
FOLDING = "onnxscript.optimizer._constant_folding"
OPERATORS = "onnx.reference.ops"  # which folding calls, not before it computes something


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _call_later(name) if name in _TABLED else getattr(importlib.import_module("sympy"), name)


def _call_later(name: str) -> Callable[..., object]:
    return lambda *arguments: getattr(importlib.import_module("sympy"), name)(*arguments)


def import_onnx_ir() -> None:
    """Imports onnx_ir with a stand-in for SymPy that only onnx_ir sees; without effect where either is loaded already.

    SymPy does arithmetic on symbolic dimensions, and a normalised graph has none. With onnx_ir 1.1.0 it is 1.25 of 1.7 s.
    """
    if "onnx_ir" not in sys.modules and "sympy" not in sys.modules:
        with _standing_in({"sympy": _Deferred("sympy")}):
            importlib.import_module("onnx_ir")


def import_folding() -> "type[FoldConstantsPass]":
    """The class, from a copy of its module that only the caller sees unless onnxscript is loaded already; before it computes, import `OPERATORS`.

    The packages around it import 100 modules of onnxscript, and it ONNX's evaluator. With onnxscript 0.7.2 those are 0.08 of 0.09 s.
    """
    found = importlib.util.find_spec("onnxscript")
    if "onnxscript" not in sys.modules and found is not None and found.submodule_search_locations:
        (root,) = found.submodule_search_locations
        left_out = {name: ModuleType(name) for name in ("onnx.reference", OPERATORS) if name not in sys.modules}
        with _standing_in(
            left_out | {"onnxscript": _empty("onnxscript", root), "onnxscript.optimizer": _empty("onnxscript.optimizer", f"{root}/optimizer")}
        ):
            module = importlib.import_module(FOLDING)
            for name in [name for name in sys.modules if name.startswith("onnxscript.")]:
                del sys.modules[name]
    else:
        module = importlib.import_module(FOLDING)
    loaded: type[FoldConstantsPass] = module.FoldConstantsPass
    return loaded


def _empty(name: str, folder: str) -> ModuleType:
    """A package without its own code."""
    package = ModuleType(name)
    package.__path__ = [folder]
    return package


@contextlib.contextmanager
def _standing_in(modules: Mapping[str, ModuleType]) -> Iterator[None]:
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
