"""Where a search starts: with which ranges and corrections the file without floats is best."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge import calibrate as calibrate_stage
from bridge import quantize
from bridge import recover as recover_stage
from bridge.decisions import op_precisions
from bridge.preparing import Prepared, Request
from bridge.quantize import Corrections
from bridge.range_choices import wide_tensors
from bridge.tune.settings import Setting
from bridge.types import QuantizedModel, Ranges

RECOVERY = "+recovery"


@dataclass(frozen=True, slots=True)
class Settings:
    """Makes settings of one prepared model."""

    prepared: Prepared
    request: Request

    @property
    def asked(self) -> list[str]:
        """Precision asked for each operator where a search changes nothing."""
        return op_precisions(self.prepared.converted.tensor_map, self.prepared.applied.decisions, self.request.precision)

    def observed(self, observer: str, progress: Callable[[int], None]) -> Setting:
        """The ranges that an observer makes of the calibration samples."""
        prepared, ranges = self.prepared, self.prepared.ranges
        if ranges is None or ranges.observer == observer:
            return _named(observer, ranges)
        converted = prepared.converted
        made = calibrate_stage.calibrate(
            converted.path,
            prepared.data.calibration,
            converted.tensor_map.inputs,
            observer=observer,
            choices=prepared.choices,
            bits=wide_tensors(converted.path, self.asked),
            threads=self.request.threads,
            progress=progress,
        )
        return _named(observer, made)

    def recovered(self, setting: Setting, asked: Sequence[str]) -> tuple[Setting, tuple[str, ...]]:
        """The setting after accuracy recovery for a file of these precisions, and the methods that were kept."""
        prepared = self.prepared
        job = recover_stage.Job(
            prepared.converted.path,
            asked,
            self.request.precision,
            prepared.converted.tensor_map.inputs,
            prepared.data.calibration,
            self.request.threads,
            frozenset(prepared.choices),
        )
        methods = self.request.recover if prepared.recovers else ()
        found = recover_stage.recover(job, setting.ranges, methods, ranges_given=False)
        kept = tuple(outcome.method for outcome in found.outcomes if outcome.kept)
        return _named(observer_of(setting) + RECOVERY, found.ranges, found.corrections), kept

    @contextmanager
    def quantized(self, setting: Setting, asked: Sequence[str]) -> Iterator[QuantizedModel]:
        """A file of these precisions, which is gone after the block."""
        with TemporaryDirectory(prefix="bridge-") as folder:
            yield quantize.quantize(
                self.prepared.converted.path,
                Path(folder) / "start.tflite",
                ranges=setting.ranges,
                op_precisions=asked,
                corrections=setting.corrections,
            )


def observer_of(setting: Setting) -> str:
    """The observer that its ranges came from."""
    return setting.name.partition("@")[0].removesuffix(RECOVERY)


def _named(name: str, ranges: Ranges | None, corrections: Corrections | None = None) -> Setting:
    """A setting whose name tells two of different content apart: a folder may hold those of earlier calls."""
    corrections = corrections or Corrections()
    return Setting(f"{name}@{Setting(name, ranges, corrections).digest[:12]}", ranges, corrections)
