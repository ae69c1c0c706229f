"""The data of the digits models, the files beside each model, and its row in README.md.

Data: the 1,797 images of `sklearn.datasets.load_digits` (8 x 8, integers 0..16). The last `HELD_OUT` of them are for evaluation
only: a run at the end, not a shuffled choice, because neighbours in the data set may come from one writer.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

SIZE = 16
HELD_OUT = 360
CALIBRATION_SAMPLES = 128
README = Path(__file__).parent / "README.md"


@dataclass(frozen=True, slots=True)
class Split:
    """Images [samples, SIZE, SIZE], float32, 0 = paper, 1 = ink; labels [samples], 0..9."""

    images: Images
    labels: Labels


def load() -> tuple[Split, Split]:
    """The training split and the held-out split, in the order of the data set, enlarged bilinearly from 8 x 8 to SIZE x SIZE."""
    images, labels = load_digits(return_X_y=True)
    small = images.reshape(-1, 8, 8) / 16.0
    large = zoom(small, (1, SIZE // 8, SIZE // 8), order=1, mode="nearest", grid_mode=True).astype(np.float32)
    labels = labels.astype(np.int64)
    return Split(large[:-HELD_OUT], labels[:-HELD_OUT]), Split(large[-HELD_OUT:], labels[-HELD_OUT:])


def write_data(folder: Path, train: Images, held_out: Images, labels: Labels, *, seed: int) -> None:
    """Writes calibration.npz and evaluation.npz for the model in `folder`.

    Args:
        folder: holds model.onnx; the arrays are named like its one input.
        train: the training images as the model takes them, [samples, *shape of the input without its batch axis].
        held_out: the evaluation images, prepared in the same way.
        labels: of `held_out`, [samples].
        seed: chooses which `CALIBRATION_SAMPLES` training images calibrate.
    """
    (name,) = (value.name for value in onnx.load(folder / "model.onnx").graph.input)
    chosen = np.sort(np.random.default_rng(seed).choice(len(train), CALIBRATION_SAMPLES, replace=False))
    np.savez_compressed(folder / "calibration.npz", **{name: train[chosen]})
    np.savez_compressed(folder / "evaluation.npz", **{name: held_out, "labels": labels})


def accuracy(folder: Path) -> float:
    """The share of evaluation.npz that model.onnx classifies correctly in onnxruntime, one sample a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    with np.load(folder / "evaluation.npz") as data:
        images, labels = data[name], data["labels"]
    found = [int(session.run(None, {name: image[None]})[0].argmax()) for image in images]
    return float(np.mean(np.asarray(found) == labels))


def record(folder: Path) -> None:
    """Measures the model in `folder` and writes its row in the table "Measured" of README.md.

    Raises:
        ValueError: the table has no row for this model.
    """
    path = folder / "model.onnx"
    values = sum(int(np.prod(w.dims)) for w in onnx.load(path).graph.initializer if w.data_type == onnx.TensorProto.FLOAT)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    start = f"| `{folder.name}/model.onnx` |"
    row = f"{start} {values} | {path.stat().st_size} | {accuracy(folder):.4f} | `{digest}` |"
    lines = README.read_text(encoding="utf-8").splitlines()
    if not any(line.startswith(start) for line in lines):
        raise ValueError(f"{README}: no row starts with {start!r}; add one, with empty cells, to the table 'Measured'")
    README.write_text("\n".join(row if line.startswith(start) else line for line in lines) + "\n", encoding="utf-8")
