"""The runtime that says what a model computes: onnxruntime, or ONNX's own evaluator where onnxruntime cannot run the model."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx

from bridge.errors import BridgeError, ToolError, UnsupportedModelError, first_line
from bridge.types import Diagnostic, TensorSpec

# What the NumPy code of ONNX's evaluator raises on models and data it was not written for.
_EVALUATOR_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


class Reference(Protocol):
    """Runs the user's model and shows its tensors."""

    tensors: tuple[str, ...]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order; a size that the file leaves open is a str."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model outputs in the file's order."""

    def showing(self, tensors: Collection[str], *, threads: int) -> "Reference":
        """The same model with no other intermediate tensors than these."""

    def outputs_only(self, *, threads: int) -> "Reference":
        """The same model without its intermediate tensors."""

    def release(self, *, idle: bool = False) -> None:
        """Gives back memory until the next run, where much is held between runs; `idle`: all of it, for there is none for a while."""

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Every tensor by name, or only those asked for."""


class EvaluatorRunner:
    """The user's model in ONNX's reference evaluator: NumPy, slow, but it has every standard operator of the installed onnx.

    Args:
        model: not changed.
        intermediates: whether `run` also returns what is no model output.

    Raises:
        UnsupportedModelError: the evaluator does not have one of the operators.
    """

    def __init__(self, model: onnx.ModelProto, *, intermediates: bool = True) -> None:
        from onnx.reference import ReferenceEvaluator  # most models need none

        self._model = model
        try:
            self._evaluator = ReferenceEvaluator(model)
        except _EVALUATOR_ERRORS as error:
            raise UnsupportedModelError(f"ONNX's reference evaluator cannot load the model: {first_line(error)}") from error
        written = (name for node in model.graph.node for name in node.output if name)
        self.tensors = tuple(dict.fromkeys([*self.outputs, *(written if intermediates else ())]))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Model inputs in the file's order; a size that the file leaves open is a str."""
        constants = {tensor.name for tensor in self._model.graph.initializer}
        return tuple(_spec(value) for value in self._model.graph.input if value.name not in constants)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model outputs in the file's order."""
        return tuple(value.name for value in self._model.graph.output)

    def showing(self, tensors: Collection[str], *, threads: int) -> "EvaluatorRunner":
        """The same model: NumPy keeps every value until the run ends, whatever is asked for."""
        del tensors, threads
        return self

    def outputs_only(self, *, threads: int) -> "EvaluatorRunner":
        """The same model without its intermediate tensors; NumPy decides about threads."""
        del threads
        return EvaluatorRunner(self._model, intermediates=False)

    def release(self, *, idle: bool = False) -> None:
        """Nothing is held."""

    def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Every tensor by name, or only those asked for.

        Raises:
            ToolError: an operator fails.
        """
        try:
            with np.errstate(all="ignore"):  # operators divide by 0 and overflow as they are meant to
                found = self._evaluator.run(None, dict(feeds), intermediate=True)
        except _EVALUATOR_ERRORS as error:
            raise ToolError(f"ONNX's reference evaluator cannot run the model: {first_line(error)}") from error
        results: Mapping[str, object] = found  # type: ignore[assignment]  # a dict, since intermediate results are asked for
        wanted = self.tensors if tensors is None else tensors
        return {name: np.asarray(value) for name in wanted if isinstance(value := results.get(name), np.ndarray | np.generic)}


def evaluator_instead(
    model: onnx.ModelProto, samples: Sequence[Mapping[str, np.ndarray]], reason: BridgeError, *, intermediates: bool = True
) -> tuple[Reference, tuple[Diagnostic, ...]]:
    """ONNX's evaluator for a model that onnxruntime cannot run, and what there is to say about it.

    Args:
        model: with its external data inside; not changed.
        samples: the first one is tried, if there is one.
        reason: what onnxruntime said.
        intermediates: whether every tensor is shown.

    Raises:
        BridgeError: `reason`, where the evaluator cannot run the model either.
    """
    if any(node.domain not in _STANDARD_DOMAINS for node in model.graph.node):
        raise reason
    try:
        runner = EvaluatorRunner(model, intermediates=intermediates)
        for sample in samples[:1]:
            runner.run(sample)
    except BridgeError:
        reason.causes = reason.causes or ("no-reference",)
        raise reason from None
    return runner, (
        Diagnostic(
            "reference-evaluator",
            "warning",
            f"onnxruntime cannot run this model, so ONNX's reference evaluator says what is right: {reason.message}",
            "It is slow. A newer onnxruntime may have the operators.",
        ),
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    sizes = tuple(int(size.dim_value) if size.HasField("dim_value") else size.dim_param for size in kind.shape.dim)
    return TensorSpec(value.name, sizes, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)
