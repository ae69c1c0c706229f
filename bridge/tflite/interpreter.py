"""Runs TFLite files; the only importer of the LiteRT interpreter."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from ai_edge_litert import interpreter as litert

from bridge import heap, outside
from bridge.errors import ToolError
from bridge.tflite.run_file import RunFile
from bridge.types import TensorSpec

Kernels = Literal["optimized", "builtin", "reference"]

RESOLVERS = MappingProxyType(
    {
        "optimized": litert.OpResolverType.BUILTIN,  # XNNPACK where it can, as on a phone
        "builtin": litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "reference": litert.OpResolverType.BUILTIN_REF,
    }
)


class Interpreter:
    """A loaded TFLite file that starts from zero state at every run.

    Args:
        model: path or bytes of the file, or a file that is not kept.
        kernels: `optimized` (XNNPACK where it can), `builtin` (no delegate) or `reference`.
        threads: threads of one run.
        preserve_all_tensors: keep intermediate values readable (not those inside a delegate).
        batch: samples of one run, along the first axis of every input; 1 leaves the shapes as they are in the file.
        kept_mapped: a file of up to so many bytes stays mapped in memory as long as it is open; more for one of many that are opened one after the other.

    Raises:
        ToolError: LiteRT refuses the file.
    """

    def __init__(
        self,
        model: Path | bytes | RunFile,
        *,
        kernels: Kernels = "optimized",
        threads: int = 1,
        preserve_all_tensors: bool = False,
        batch: int = 1,
        kept_mapped: int = heap.WORTH_UNMAPPING,
    ) -> None:
        where = {"model_content": model} if isinstance(model, bytes) else {"model_path": model.path if isinstance(model, RunFile) else str(model)}
        self._name, self._model = str(model) if isinstance(model, Path) else "the model", model  # a file that is not kept stays as long
        try:
            with outside.OPENING, warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Warning: Enabling `experimental_preserve_all_tensors`")  # whoever asks for it knows
                self._interpreter = litert.Interpreter(
                    **where,
                    num_threads=threads,
                    experimental_op_resolver_type=RESOLVERS[kernels],
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
                for detail in self._interpreter.get_input_details() if batch > 1 else ():
                    self._interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
                self._interpreter.allocate_tensors()
            if not isinstance(model, bytes) and (model.size if isinstance(model, RunFile) else model.stat().st_size) > kept_mapped:
                heap.unmap_files()
        except (RuntimeError, ValueError) as error:
            raise ToolError(f"{self._name}: LiteRT cannot load it: {str(error).strip()}", causes=["tflite-fails"]) from error
        self._inputs = self._interpreter.get_input_details()
        shown = model.outputs if isinstance(model, RunFile) else ()  # LiteRT tells the details of an output in 6 us
        self._outputs = shown or tuple(detail["index"] for detail in self._interpreter.get_output_details())
        self._views = [self._interpreter.tensor(index) for index in self._outputs]

    def __del__(self) -> None:
        with outside.OPENING:  # that LiteRT lets go of the weights that it has packed is its work as well
            vars(self).clear()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order."""
        return tuple(_spec(detail) for detail in self._inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Model outputs in the file's order."""
        return tuple(_spec(detail) for detail in self._interpreter.get_output_details())

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Feeds the inputs by name, runs, returns copies of the outputs in the file's order.

        Raises:
            ToolError: a kernel fails.
        """
        return list(self.run_each(feeds))

    def run_each(self, feeds: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        """Like `run`, one copy at a time; it runs when the first one is asked for."""
        self._invoke(feeds)
        for index in self._outputs:
            yield self.value(index)

    def run_views(self, feeds: Mapping[str, np.ndarray], places: Iterable[int] | None = None) -> list[np.ndarray]:
        """Like `run` without the copies: LiteRT refuses the next run while a view is still referenced, so drop them first.

        Of all outputs, or of those at some places.

        A profiler that samples the frames of this thread from another one (Dask has one in each worker) holds their views for a moment longer:
        what may run under one needs the copies.
        """
        self._invoke(feeds)
        return [view() for view in self._views] if places is None else [self._views[place]() for place in places]

    def _invoke(self, feeds: Mapping[str, np.ndarray]) -> None:
        self._interpreter.reset_all_variables()
        try:
            for detail in self._inputs:
                self._interpreter.set_tensor(detail["index"], np.ascontiguousarray(feeds[detail["name"]]))
            with outside.INFERENCE:
                self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ToolError(f"{self._name}: LiteRT cannot run it: {str(error).strip()}", causes=["tflite-fails"]) from error

    def value(self, index: int) -> np.ndarray:
        """A copy of the tensor at `index` of the main graph after a run; of one that is no output only with `preserve_all_tensors`."""
        return np.asarray(self._interpreter.get_tensor(index))


def _spec(detail: Mapping[str, object]) -> TensorSpec:
    return TensorSpec(str(detail["name"]), tuple(int(size) for size in np.asarray(detail["shape"])), np.dtype(detail["dtype"]).name)  # type: ignore[call-overload]  # LiteRT's details are untyped
