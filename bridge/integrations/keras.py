"""`keras.callbacks.Callback` that converts and gates at the end of `fit`."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras.callbacks import Callback

from bridge.conversion_result import ConversionResult
from bridge.integrations.end_of_fit import EndOfFit


class Quantize(Callback):  # type: ignore[misc]  # the framework brings no types here
    """Converts the model when `fit` ends, and raises GateError where a gate does not hold.

    Args:
        gate: one expression such as `sqnr>=25`, or several; none if empty.
        options: those of `bridge.convert`: calibration, output_dir, rules, ...

    Attributes:
        result: the ConversionResult, None until training has ended; also there when a gate did not hold.
    """

    def __init__(self, *, gate: str | Sequence[str] = (), **options: Any) -> None:  # those of `convert`
        super().__init__()
        self._end = EndOfFit.of(gate, options)
        self.result: ConversionResult | None = None

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        """Called by `fit`."""
        self.result = self._end.convert(self.model)
        self._end.judge(self.result)
