"""PyTorch, TensorFlow and ONNX models as int8 TFLite: rule files keep layers float, every layer is compared.

result = bridge.convert("model.onnx", calibration=bridge.Calibration.from_npz("calib.npz"))
result.artifacts["static_wi8_ai8"], result.report.outputs[0].sqnr_db
"""

import importlib
import sys
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.batch.convert_many import convert_many
    from bridge.calibrate.source import Calibration
    from bridge.comparing import compare
    from bridge.conversion_result import ConversionResult
    from bridge.custom_ops.registry import register_op, registered_ops
    from bridge.errors import BridgeError, GateError, InputError, RuleError, ToolError, UnsupportedModelError, UsageError
    from bridge.inspect import Inspection, inspect
    from bridge.pipeline import convert
    from bridge.report.gates import gate
    from bridge.report.schema import Report
    from bridge.rules.files import load as load_rules
    from bridge.task_metrics.metric import metric
    from bridge.tracing import trace
    from bridge.tune.result import TuneResult
    from bridge.tune.sensitivity import sensitivity
    from bridge.tune.sensitivity_result import SensitivityResult
    from bridge.tune.tune import tune

__all__ = [
    "BridgeError",
    "Calibration",
    "ConversionResult",
    "GateError",
    "InputError",
    "Inspection",
    "Report",
    "RuleError",
    "SensitivityResult",
    "ToolError",
    "TuneResult",
    "UnsupportedModelError",
    "UsageError",
    "compare",
    "convert",
    "convert_many",
    "gate",
    "inspect",
    "load_rules",
    "metric",
    "register_op",
    "registered_ops",
    "sensitivity",
    "trace",
    "tune",
]

# Loaded when first asked for, so that `import bridge` costs nothing.
_HOMES = MappingProxyType(
    dict.fromkeys(("BridgeError", "GateError", "InputError", "RuleError", "ToolError", "UnsupportedModelError", "UsageError"), "bridge.errors")
    | {"convert_many": "bridge.batch.convert_many"}
    | {"compare": "bridge.comparing", "trace": "bridge.tracing"}
    | {"ConversionResult": "bridge.conversion_result", "convert": "bridge.pipeline"}
    | dict.fromkeys(("Inspection", "inspect"), "bridge.inspect")
    | dict.fromkeys(("register_op", "registered_ops"), "bridge.custom_ops.registry")
    | {"tune": "bridge.tune.tune", "TuneResult": "bridge.tune.result"}
    | {"sensitivity": "bridge.tune.sensitivity", "SensitivityResult": "bridge.tune.sensitivity_result"}
    | {"metric": "bridge.task_metrics.metric"}
    | {"Calibration": "bridge.calibrate.source", "Report": "bridge.report.schema", "gate": "bridge.report.gates", "load_rules": "bridge.rules.files"}
)
_THERE = MappingProxyType({"load_rules": "load"})  # what the home calls it, where that is shorter


def __getattr__(name: str) -> object:
    if name == "qat":  # a package itself, not a name in one
        return importlib.import_module("bridge.qat")
    if name not in _HOMES:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), _THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `bridge.convert` the function: importing the subpackage of the same name would bind that instead."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
