"""Metrics of pictures against true ones: PSNR and SSIM, the mean over the samples.

Truth: a picture in the shape of the output (axes of size 1 aside). Values go to 255 where the truth is uint8, else to 1.
"""

import math

import numpy as np

from bridge.errors import InputError
from bridge.task_metrics.metric import Outputs

WINDOW, SIGMA = 11, 1.5  # the Gaussian of the paper, cut off at 5 pixels
K1, K2 = 0.01, 0.03


class Psnr:
    """Peak signal to noise ratio, 10 log10(peak^2 / mean squared error), in dB; the mean over the samples."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._total, self._count = 0.0, 0

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample."""
        picture, true, peak = _pair("psnr", candidate[self._output], truth)
        error = float(np.mean((picture - true) ** 2))
        self._total += 10 * math.log10(peak**2 / error) if error else math.inf
        self._count += 1

    def result(self) -> float:
        """The mean."""
        return self._total / self._count if self._count else math.nan


class Ssim:
    """Structural similarity, -1..1: mean over pixels, channels and samples. Pixels nearer than 5 to the edge are the centre of no window.

    Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural similarity", 2004,
    with its window (11 x 11 Gaussian of 1.5 pixels) and constants.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._total, self._count = 0.0, 0

    def add(self, reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> None:
        """One sample."""
        picture, true, peak = _pair("ssim", candidate[self._output], truth)
        planes = list(zip(_planes(picture), _planes(true), strict=True))
        if min(planes[0][0].shape) < WINDOW:
            raise InputError(f"ssim: pictures are at least {WINDOW} pixels high and wide. Received: {list(planes[0][0].shape)}.")
        self._total += float(np.mean([_similarity(one, other, peak) for one, other in planes]))
        self._count += 1

    def result(self) -> float:
        """The mean."""
        return self._total / self._count if self._count else math.nan


def _pair(name: str, output: np.ndarray, truth: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float]:
    if truth is None or np.squeeze(output).shape != np.squeeze(truth).shape:
        received = "none" if truth is None else str(list(truth.shape))
        raise InputError(
            f"{name}: the truth is a picture of shape {list(output.shape)}. Received: {received}.",
            hint="Save an array `truth` [N, ...].",
            code="data-labels",
        )
    peak = 255.0 if truth.dtype == np.uint8 else 1.0
    return np.squeeze(output).astype(np.float64), np.squeeze(truth).astype(np.float64), peak


def _planes(picture: np.ndarray) -> list[np.ndarray]:
    """[H, W] per channel; the channels are the shortest of three axes."""
    if picture.ndim == 2:
        return [picture]
    return list(np.moveaxis(picture, int(np.argmin(picture.shape)), 0))


def _similarity(x: np.ndarray, y: np.ndarray, peak: float) -> float:
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))))


def _blurred(plane: np.ndarray) -> np.ndarray:
    """Weighted mean over each window that lies inside: along the rows, then along the columns."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        plane = np.lib.stride_tricks.sliding_window_view(plane, WINDOW, axis) @ weights
    return plane
