"""With what a decomposition writes its nodes."""

from collections.abc import Sequence

import numpy as np
import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

from bridge.errors import UsageError


class Tensor(Struct, frozen=True):
    """A value of a decomposition: an input of the operator, or what a node writes."""

    name: str


type Operand = Tensor | np.ndarray | float | int | bool | Sequence[int] | Sequence[float] | None


class Builder:
    """Collects the standard operators that a custom one is made of.

    Args:
        where: names the operator in errors.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._count = 0
        self.nodes: list[onnx.NodeProto] = []

    def op(self, op_type: str, *inputs: Operand, **attributes: object) -> Tensor:
        """A standard operator with one output, in the opset that was registered.

        Args:
            op_type: for example `Mul`.
            inputs: tensors of this builder; arrays and numbers become constants, Python floats float32 and ints int64; None leaves one out.
            attributes: as ONNX names them.
        """
        return self.ops(op_type, *inputs, outputs=1, **attributes)[0]

    def ops(self, op_type: str, *inputs: Operand, outputs: int, **attributes: object) -> tuple[Tensor, ...]:
        """A standard operator with several outputs."""
        names = [self._name(operand) for operand in inputs]
        written = [Tensor(f"t{self._next()}") for _ in range(outputs)]
        self._write(op_type, names, [tensor.name for tensor in written], attributes)
        return tuple(written)

    def constant(self, value: np.ndarray) -> Tensor:
        """A constant as it is."""
        written = Tensor(f"c{self._next()}")
        self.nodes.append(helper.make_node("Constant", [], [written.name], name=written.name, value=numpy_helper.from_array(np.asarray(value))))
        return written

    def _name(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Tensor):
            return operand.name
        array = np.asarray(operand)
        return self.constant(array.astype(np.float32) if array.dtype == np.float64 and not isinstance(operand, np.ndarray) else array).name

    def _write(self, op_type: str, inputs: list[str], outputs: list[str], attributes: dict[str, object]) -> None:
        if not onnx.defs.has(op_type):
            raise UsageError(
                f"The decomposition of {self._where} uses {op_type}, which ONNX does not have.", hint="Spell it out in standard operators."
            )
        count = 1 + sum(node.op_type == op_type for node in self.nodes)
        node = helper.make_node(op_type, inputs, outputs, name=op_type if count == 1 else f"{op_type}_{count}")
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items() if value is not None)
        self.nodes.append(node)

    def _next(self) -> int:
        self._count += 1
        return self._count
