"""The table of all kinds of findings: one file for each family."""

from collections.abc import Mapping
from types import MappingProxyType

from bridge.findings import calibration, comparison, conversion, model, quantization, rules, source, usage
from bridge.findings.kind import Kind

FAMILIES: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "Commands and files": usage.KINDS,
        "Sources": source.KINDS,
        "What is in a model": model.KINDS,
        "Models that cannot be converted": conversion.KINDS,
        "Calibration and evaluation data": calibration.KINDS,
        "Rules": rules.KINDS,
        "Quantization": quantization.KINDS,
        "Comparison": comparison.KINDS,
    }
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.code: kind for kinds in FAMILIES.values() for kind in kinds})
