"""What users register for operators that ONNX does not have; nothing is registered unless the user's own module does it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, overload

from msgspec import Struct

from bridge.errors import UsageError

if TYPE_CHECKING:
    import onnx

STANDARD_DOMAINS = ("", "ai.onnx")

type Decomposition = Callable[..., object]  # (Builder, tensors in the order of the inputs, attributes by name) -> tensor or tuple of tensors
type Reference = Callable[..., object]  # (arrays in the order of the inputs, attributes by name) -> array or tuple of arrays


class ScriptedFunction(Protocol):
    """A function of onnxscript, or what else can write itself as an ONNX function."""

    def to_function_proto(self) -> "onnx.FunctionProto":
        """The function as ONNX."""


class CustomOp(Struct, frozen=True):
    """One registered operator.

    Attributes:
        domain: of the operator in ONNX files.
        op_type: its name there.
        decomposition: builds it of standard operators: a function over a Builder, an onnxscript function or an ONNX FunctionProto; None for one
            that stays an operator of its own.
        reference: the same in NumPy, None without.
        tflite_custom: code of the TFLite CUSTOM operator that it becomes, empty for one with a decomposition.
    """

    domain: str
    op_type: str
    decomposition: "Decomposition | ScriptedFunction | onnx.FunctionProto | None"
    reference: Reference | None
    tflite_custom: str

    def __str__(self) -> str:
        return f"{self.domain} {self.op_type}"


_registered: dict[tuple[str, str], CustomOp] = {}


@overload
def register_op(
    domain: str, op_type: str, decomposition: None = None, *, reference: Reference | None = None
) -> Callable[[Decomposition], Decomposition]: ...


@overload
def register_op(
    domain: str, op_type: str, decomposition: "Decomposition | ScriptedFunction | onnx.FunctionProto", *, reference: Reference | None = None
) -> None: ...


@overload
def register_op(domain: str, op_type: str, decomposition: None = None, *, reference: Reference, tflite_custom: str) -> None: ...


def register_op(
    domain: str,
    op_type: str,
    decomposition: "Decomposition | ScriptedFunction | onnx.FunctionProto | None" = None,
    *,
    reference: Reference | None = None,
    tflite_custom: str = "",
) -> Callable[[Decomposition], Decomposition] | None:
    """Says what an operator outside of the ONNX standard means.

    Either a decomposition into standard operators: as the third argument, or as a decorator over a function
    `f(build, *tensors, **attributes)` that calls `build.op("Mul", x, 2.0)`. Or `tflite_custom`: the operator becomes a CUSTOM operator of the
    TFLite file, which needs `reference` to be compared.

    Args:
        domain: of the operator in the ONNX file.
        op_type: its name there.
        decomposition: a function over a Builder, an onnxscript function or an ONNX FunctionProto.
        reference: NumPy function of the inputs in order (None where one is left out) and the attributes by name; returns an array, or a tuple for
            several outputs. With a decomposition it is what the decomposition is checked against.
        tflite_custom: code of the operator in the TFLite file.

    Returns:
        A decorator where neither a decomposition nor `tflite_custom` is given.

    Raises:
        UsageError: the operator is a standard one or registered already, or neither way out is given, or both.
    """
    if domain in STANDARD_DOMAINS:
        raise UsageError(f"register_op: {op_type} stands in the standard domain. Received: domain={domain!r}.", hint="Give your own domain.")
    if tflite_custom and decomposition is not None:
        raise UsageError(
            f"register_op: {domain} {op_type} cannot be both a decomposition and a TFLite CUSTOM operator.", hint="Leave one of them out."
        )
    if tflite_custom and reference is None:
        raise UsageError(
            f"register_op: {domain} {op_type} as CUSTOM operator {tflite_custom!r} has no reference.",
            hint="Give reference=, a NumPy function: without it nothing behind the operator can be calibrated or compared.",
        )
    if tflite_custom or decomposition is not None:
        _add(CustomOp(domain, op_type, decomposition, reference, tflite_custom))
        return None

    def decorate(function: Decomposition) -> Decomposition:
        _add(CustomOp(domain, op_type, function, reference, ""))
        return function

    return decorate


def _add(op: CustomOp) -> None:
    key = (op.domain, op.op_type)
    if key in _registered:
        raise UsageError(f"register_op: {op} is registered already.", hint="Register each operator once, or use bridge.registered_ops() as a scope.")
    _registered[key] = op


def find(domain: str, op_type: str) -> CustomOp | None:
    """What is registered for an operator."""
    return _registered.get((domain, op_type))


@contextmanager
def registered_ops() -> Iterator[None]:
    """A scope: what is registered inside is forgotten at its end, and what was registered outside is there again."""
    before = dict(_registered)
    try:
        yield
    finally:
        _registered.clear()
        _registered.update(before)
