"""Loads of two packages only what a conversion uses: onnx_ir without SymPy, onnxscript's folding and version converter without the rest of onnxscript.

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
    from onnxscript.version_converter import ConvertVersionPass

# What onnx_ir puts into a table while it loads; anything else it asks for loads the real thing at once.
_TABLED = frozenset({"Max", "Min", "Mod", "floor", "sqrt"})
FOLDING, CONVERTER = "onnxscript.optimizer._constant_folding", "onnxscript.version_converter"
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
    """The class; before it computes, import `OPERATORS`."""
    loaded: type[FoldConstantsPass] = _part_of_onnxscript(FOLDING, "onnxscript.optimizer").FoldConstantsPass
    return loaded


def import_version_converter() -> "type[ConvertVersionPass]":
    """The class."""
    loaded: type[ConvertVersionPass] = _part_of_onnxscript(CONVERTER).ConvertVersionPass
    return loaded


def _part_of_onnxscript(name: str, *packages: str) -> ModuleType:
    """A copy of a module that only the caller sees unless onnxscript is loaded already; `packages` around it lose their own code, as onnxscript does.

    They import 100 modules of onnxscript, and those ONNX's evaluator with 200. With onnxscript 0.7.2 that is 0.08 of 0.09 s and 10 MB.
    """
    found = importlib.util.find_spec("onnxscript")
    if "onnxscript" in sys.modules or found is None or not found.submodule_search_locations:
        return importlib.import_module(name)
    (root,) = found.submodule_search_locations
    left_out = {evaluator: ModuleType(evaluator) for evaluator in ("onnx.reference", OPERATORS) if evaluator not in sys.modules}
    empty = {package: _empty(package, f"{root}{package.removeprefix('onnxscript').replace('.', '/')}") for package in ("onnxscript", *packages)}
    with _standing_in(left_out | empty):
        module = importlib.import_module(name)
        for loaded in [loaded for loaded in sys.modules if loaded.startswith("onnxscript.")]:
            del sys.modules[loaded]
    return module


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
