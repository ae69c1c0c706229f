"""Built-in metrics against figures by hand, and against scipy where it has the formula."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage, stats

from bridge.errors import InputError
from bridge.task_metrics import find_metrics


def measure(name: str, outputs: Any, truths: Any = None, references: Any = None) -> float:
    """The metric over samples of one output `y`."""
    (metric,) = find_metrics([name], ["y"])
    score = metric.start()
    for position, output in enumerate(outputs):
        reference = output if references is None else references[position]
        score.add({"y": np.asarray(reference)}, {"y": np.asarray(output)}, None if truths is None else np.asarray(truths[position]))
    return score.result()


@pytest.mark.parametrize(
    ("name", "scores", "labels", "expected"),
    [
        ("top1", [[1, 3, 2], [5, 4, 4], [0, 1, 2]], [1, 1, 2], 2 / 3),
        ("top1", [[7, 7, 7], [7, 7, 7]], [0, 1], 0.5),  # among equal scores the first counts, as with argmax
        ("top5", [[6, 5, 4, 3, 2, 1]] * 2, [4, 5], 0.5),
        ("top5", [[3, 3, 3, 3, 3, 3, 3]] * 2, [4, 5], 0.5),
        ("top1", [[math.nan, math.nan]], [0], 0.0),
    ],
)
def test_top_k(name: str, scores: list[list[float]], labels: list[int], expected: float) -> None:
    assert measure(name, [[row] for row in scores], labels) == pytest.approx(expected)


def test_top1_is_the_argmax_on_integers_with_many_ties() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(-3, 3, (500, 10)), rng.integers(0, 10, 500)
    assert measure("top1", scores, labels) == (scores.argmax(1) == labels).mean()


def test_auc_by_hand_with_a_tie() -> None:
    # pairs of a positive and a negative: 0.9 > 0.1, 0.9 > 0.5, 0.5 > 0.1, 0.5 = 0.5
    assert measure("auc", [[0.9], [0.5], [0.1], [0.5]], [1, 1, 0, 0]) == (3 + 0.5) / 4


def test_auc_is_the_u_statistic() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    scores = np.round(rng.normal(labels * 0.8), 1)
    u = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    expected = u / ((labels == 1).sum() * (labels == 0).sum())
    assert measure("auc", scores[:, None], labels) == pytest.approx(expected, abs=1e-12)
    assert measure("auc", np.stack([-scores, scores], 1), labels) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(measure("auc", scores[:3, None], [1, 1, 1]))


@pytest.mark.parametrize("layout", ["chw", "hwc", "classes"])
def test_mean_iou_counts_over_all_samples_and_leaves_255_out(layout: str) -> None:
    found = np.array([[[0, 1], [1, 1]], [[0, 0], [2, 0]]])
    truth = np.array([[[0, 0], [1, 255]], [[0, 1], [1, 0]]])
    # class 0: hit 3, true 4 of which one found elsewhere, found 4 -> 3 / 5; class 1: hit 1, true 3, found 2 -> 1 / 4; class 2 is in no truth
    scores = np.eye(3)[found]
    outputs = {"chw": scores.transpose(0, 3, 1, 2)[:, None], "hwc": scores[:, None], "classes": found}[layout]
    assert measure("mean_iou", outputs, truth.astype(np.uint8)) == pytest.approx((3 / 5 + 1 / 4) / 2)


def test_mean_iou_counts_a_class_that_is_never_found() -> None:
    assert measure("mean_iou", [np.zeros((2, 2), np.int64)], [np.array([[0, 0], [0, 3]])]) == pytest.approx((3 / 4 + 0) / 2)


def test_psnr_by_hand() -> None:
    truth = np.zeros((2, 1, 4, 4), np.float32)
    outputs = np.stack([np.full((1, 1, 4, 4), 0.1), np.full((1, 1, 4, 4), 0.01)])
    assert measure("psnr", outputs, truth) == pytest.approx((20 + 40) / 2)
    assert measure("psnr", [np.full((4, 4), 25.5)], [np.zeros((4, 4), np.uint8)]) == pytest.approx(20)
    assert measure("psnr", [truth[0]], [truth[0]]) == math.inf


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_ssim_is_that_of_the_paper(dtype: type) -> None:
    rng = np.random.default_rng(2)
    peak = 255.0 if dtype == np.uint8 else 1.0
    truth: np.ndarray = (rng.random((3, 24, 31)) * peak).astype(dtype)
    output = np.clip(truth + rng.normal(0, 0.1 * peak, truth.shape), 0, peak)

    def blur(plane: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.gaussian_filter(plane, 1.5, truncate=3.5))[5:-5, 5:-5]  # a radius of 5

    planes = []
    for x, y in zip(output, truth.astype(np.float64), strict=True):
        ux, uy, c1, c2 = blur(x), blur(y), (0.01 * peak) ** 2, (0.03 * peak) ** 2
        vx, vy, vxy = blur(x * x) - ux * ux, blur(y * y) - uy * uy, blur(x * y) - ux * uy
        planes.append(((2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))).mean())
    assert measure("ssim", [output[None]], [truth]) == pytest.approx(np.mean(planes), abs=1e-10)
    assert measure("ssim", [output.transpose(1, 2, 0)], [truth.transpose(1, 2, 0)]) == pytest.approx(np.mean(planes), abs=1e-10)
    assert measure("ssim", [truth.astype(np.float64)], [truth]) == pytest.approx(1.0)


def test_cosine_compares_with_the_reference() -> None:
    assert measure("cosine", [[1.0, 0.0], [2.0, 2.0]], None, [[0.0, 3.0], [1.0, 1.0]]) == pytest.approx(0.5)


def test_spearman_is_that_of_scipy_over_pairs() -> None:
    rng = np.random.default_rng(3)
    embeddings, similarity = rng.normal(size=(80, 5)), np.round(rng.random(40), 1)
    one, other = embeddings[::2], embeddings[1::2]
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    expected = stats.spearmanr(cosines, similarity).statistic
    assert measure("spearman", embeddings, np.repeat(similarity, 2)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "output", "truth", "message"),
    [
        ("top1", [1.0, 2.0], 2, r"the truth is class 2, the output 'y' has 2 scores"),
        ("top1", [1.0, 2.0], [0, 1], r"one class index here\. Received: int64 \[2\]"),
        ("top1", [1.0, 2.0], 0.5, r"one class index here\. Received: float64 \[\]"),
        ("top1", np.zeros((1, 7, 4)), 2, r"the output 'y' is one score per class\. Received: \[1, 7, 4\]"),
        ("mean_iou", np.zeros((1, 4, 4, 4)), np.zeros((4, 4)), r"axes \[1, 2, 3\] may all be that of the classes"),
        ("auc", [1.0, 2.0, 3.0], 1, r"Received: 3 scores, truth 1"),
        ("auc", [1.0], 2, r"Received: 1 scores, truth 2"),
        ("mean_iou", np.zeros((2, 5, 5)), np.zeros((4, 4)), r"output 'y' \[2, 5, 5\] has no score per class for a truth of \[4, 4\]"),
        ("mean_iou", np.zeros((2, 4, 4)), 1, r"a class per pixel, \[H, W\]\. Received: \[\]"),
        ("psnr", np.zeros((3, 4, 4)), np.zeros((4, 4, 3)), r"the truth is a picture of shape \[3, 4, 4\]\. Received: \[4, 4, 3\]"),
        ("ssim", np.zeros((10, 20)), np.zeros((10, 20)), r"at least 11 pixels high and wide\. Received: \[10, 20\]"),
        ("spearman", [1.0], [1.0, 2.0], r"the similarity of its pair, one number"),
        ("spearman", [1.0], 1.0, r"their number is even"),
    ],
)
def test_what_does_not_fit_is_one_sentence(name: str, output: Any, truth: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(name, [np.asarray(output)], [np.asarray(truth)])
