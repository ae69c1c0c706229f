"""A float TFLite file as its own reference, on LiteRT's builtin kernels: what it becomes runs on those of XNNPACK."""

import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import TensorSpec


class TFLiteRunner:
    """The user's float TFLite file, showing every tensor that its operators write; `run` may be called from several threads.

    Args:
        path: the file.
        threads: threads of one run.
        intermediates: whether `run` also returns what is no model output, or the names of what it shall return.

    Raises:
        InputError: it cannot be read.
        ToolError: LiteRT refuses it.
    """

    def __init__(self, path: Path, *, threads: int = 1, intermediates: bool | Collection[str] = True) -> None:
        self._path = path
        model = tflite.read_once(path)
        main = tflite.main_graph(model)
        fed, ends = {int(index) for index in main.inputs}, [int(index) for index in main.outputs]
        others = tflite.activations(model) if intermediates else ()
        if not isinstance(intermediates, bool):
            others = tuple(index for index in others if tflite.text(main.tensors[index].name) in intermediates)
        shown = [index for index in dict.fromkeys([*ends, *others]) if index not in fed]
        self._inputs = tflite.named_inputs(model)
        self._ends = tuple(tflite.text(main.tensors[index].name) for index in ends)
        self.tensors = tuple(tflite.text(main.tensors[index].name) for index in shown)
        self._interpreter = Interpreter(tflite.expose(model, shown), kernels="builtin", threads=threads)
        self._one_at_a_time = threading.Lock()  # an interpreter has one set of tensors

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order."""
        return tuple(TensorSpec(name, tflite.shape(tensor), tflite.dtype(tensor).name) for name, tensor in self._inputs.items())

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model outputs in the file's order."""
        return self._ends

    def showing(self, tensors: Collection[str], *, threads: int) -> "TFLiteRunner":
        """The same file with no other intermediate tensors than these."""
        return TFLiteRunner(self._path, threads=threads, intermediates=tensors)

    def outputs_only(self, *, threads: int) -> "TFLiteRunner":
        """The same file without its intermediate tensors."""
        return TFLiteRunner(self._path, threads=threads, intermediates=False)

    def release(self, *, idle: bool = False) -> None:
        """What it holds of the file is mapped."""

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Every tensor by name, or only those asked for.

        Raises:
            ToolError: a kernel fails.
        """
        fed = {tflite.text(tensor.name): np.asarray(feeds[name], tflite.dtype(tensor)) for name, tensor in self._inputs.items()}
        with self._one_at_a_time:
            found = dict(zip(self.tensors, self._interpreter.run(fed), strict=True))
        return found if tensors is None else {name: found[name] for name in tensors}
