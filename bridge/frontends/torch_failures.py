"""Where in a PyTorch model something failed, and what the failure most likely means; without torch itself, which has one gate."""

import contextlib
import linecache
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bridge.errors import first_line

LIBRARIES = ("torch", "bridge")


def place(module: Any, error: BaseException) -> str:
    """` in 'encoder.1' (Block) at model.py:12: `x = x.item()``: the innermost submodule and the innermost line of the user; as much of it as is known."""
    names = {id(part): name for name, part in module.named_modules()}
    inside = line = ""
    for frame, number in _frames(error):
        part = frame.f_locals.get("self")
        if id(part) in names:
            inside = f" in {names[id(part)]!r} ({type(part).__name__})" if names[id(part)] else f" in {type(part).__name__}"
        if not _of_library(frame.f_globals.get("__name__", "")):
            path = frame.f_code.co_filename
            line = f" at {Path(path).name}:{number}: `{linecache.getline(path, number).strip()}`"
    return f"{inside}{line}"


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Outermost first, those of the causes behind them."""
    reason: BaseException | None = error
    while reason is not None:
        trace = reason.__traceback__
        while trace is not None:
            yield trace.tb_frame, trace.tb_lineno
            trace = trace.tb_next
        reason = reason.__cause__


def _of_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def advice(module: Any, values: Sequence[Any], error: BaseException) -> str:
    """What most likely is wrong with the example inputs; empty where nothing is known."""
    text = str(error)
    wide = [value for value in values if str(getattr(value, "dtype", "")) == "torch.float64"]
    if wide and not any(str(parameter.dtype) == "torch.float64" for parameter in module.parameters()):
        return "NumPy makes float64 and the module has float32 weights: give x.astype(numpy.float32)."
    pictures = [tuple(value.shape) for value in values if len(getattr(value, "shape", ())) == 4 and value.shape[-1] in (1, 3, 4)]
    if pictures and "channels" in text:
        return f"The example looks like NHWC, {list(pictures[0])}, and PyTorch takes NCHW: array.transpose(0, 3, 1, 2)."
    if "same device" in text or "meta tensor" in text:
        return "Bring the module and its example inputs to the CPU: module.cpu()."
    return "Run the module on the same inputs yourself: module.eval()(x)."


def untranslated(program: Any, error: BaseException, where: str) -> str:
    """Which operator of which module has no translation."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    text = "\n".join(map(str, chain))
    found = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text)
    if found is None:
        return f"{where}: torch's ONNX exporter fails: {first_line(chain[-1])}"
    operator = found.group(1)
    places = []
    with contextlib.suppress(Exception):  # only for the message
        for node in program.run_decompositions().graph.nodes:
            if node.op == "call_function" and operator.rpartition(".")[2] in str(node.target):  # prims.x stands for aten.special_x
                stack = list(node.meta.get("nn_module_stack", {}).values())
                path, kind = stack[-1] if stack else ("", "")
                places.append(f"{path or 'the model itself'} ({getattr(kind, '__name__', kind)})")
    inside = f" It is in {', '.join(dict.fromkeys(places))}." if places else ""
    return f"{where}: torch's ONNX exporter has no translation for {operator}.{inside}"
