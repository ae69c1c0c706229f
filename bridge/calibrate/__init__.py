"""Ranges of all activations of the float TFLite file over the user's samples."""

from bridge.calibrate.calibrate import calibrate, with_choices
from bridge.calibrate.checks import check_overlap, check_samples
from bridge.calibrate.dataset import Dataset, from_arrays, load, split, synthetic
from bridge.calibrate.observers import OBSERVERS
from bridge.calibrate.ranges_file import read_ranges, write_ranges
from bridge.calibrate.source import Calibration

__all__ = [
    "OBSERVERS",
    "Calibration",
    "Dataset",
    "calibrate",
    "check_overlap",
    "check_samples",
    "from_arrays",
    "load",
    "read_ranges",
    "split",
    "synthetic",
    "with_choices",
    "write_ranges",
]
