"""`lightning.pytorch.Callback` that converts and gates at the end of `Trainer.fit`."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback

from bridge.conversion_result import ConversionResult
from bridge.integrations.end_of_fit import EndOfFit


class Quantize(Callback):  # type: ignore[misc]  # the framework brings no types here
    """Converts the model when `fit` ends, and raises GateError where a gate does not hold.

    Args:
        gate: one expression such as `sqnr>=25`, or several; none if empty.
        options: those of `bridge.convert`: calibration, output_dir, rules, ...; without `example_inputs` the module's
            `example_input_array` is what it is traced with.

    Attributes:
        result: the ConversionResult, None until training has ended; also there when a gate did not hold.
    """

    def __init__(self, *, gate: str | Sequence[str] = (), **options: Any) -> None:  # those of `convert`
        super().__init__()
        self._end = EndOfFit.of(gate, options)
        self.result: ConversionResult | None = None

    def on_fit_end(self, trainer: object, pl_module: Any) -> None:  # a LightningModule
        """Called by `Trainer.fit`; one process of several converts."""
        if not getattr(trainer, "is_global_zero", True):
            return
        example = getattr(pl_module, "example_input_array", None)
        inputs = {} if example is None else {"example_inputs": example if isinstance(example, tuple | dict) else (example,)}
        self.result = self._end.convert(pl_module, **inputs)
        self._end.judge(self.result)
