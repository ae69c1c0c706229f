"""What every stage speaks of: a tensor."""

from msgspec import Struct


class TensorSpec(Struct, frozen=True):
    """Name, shape and dtype of a tensor. `dtype` is NumPy's name (`float32`, `int64`); a `str` in `shape` is a symbolic dimension."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
