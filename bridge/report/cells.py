"""The colour classes of cells, and numbers as the page's script sorts them."""

import math
from types import MappingProxyType

POOR_DB, BAD_DB = 20.0, 10.0  # cells below are tinted; the colour of a number, not a verdict
SUSPECT = 0.7  # RMSE / scale
KINDS = MappingProxyType({"float32": "float", "float16": "float", "mixed": "mixed", "none": "none", "": "none"})  # colour; anything else is int


def kind(precision: str | None) -> str:
    """The colour class of a precision."""
    return KINDS.get(precision or "", "int")


def tint(sqnr_db: float | None) -> str:
    """The colour class of an SQNR; empty for a good or missing one."""
    if sqnr_db is None:
        return ""
    return "bad" if math.isnan(sqnr_db) or sqnr_db < BAD_DB else "poor" if sqnr_db < POOR_DB else ""


def suspicion(rmse_over_scale: float | None) -> str:
    """The colour class of RMSE / scale."""
    return "" if rmse_over_scale is None or rmse_over_scale <= SUSPECT else "poor"


def sort_key(value: float | None) -> str:
    """A number as the script reads it: empty for missing, else what JavaScript's Number() takes."""
    if value is None:
        return ""
    return str(value).replace("inf", "Infinity") if not math.isnan(value) else "NaN"
