"""What every stage speaks of: a tensor, and a finding."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of a tensor. `dtype` is NumPy's name (`float32`, `int64`); a `str` in `shape` is a symbolic dimension."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `code` is stable and kebab-case, `node` is the user's name of the node it is about."""

    code: str
    severity: Severity
    message: str
    hint: str = ""
    node: str | None = None
