"""`python fuzz_framework_seeds.py keras|torch FOLDER` writes sound files of a framework.

In a process of its own, since a framework that has computed anything has threads, and a process with threads is no process to fork.
"""

import sys
from pathlib import Path


def keras_files(folder: Path) -> None:
    """A convolutional net with a model inside it, and a recurrent one, each as .keras and .h5."""
    import keras

    inner = keras.Sequential([keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.BatchNormalization()], name="inner")
    outer = keras.Sequential([keras.layers.Input((6, 6, 1)), inner, keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
    over_time = keras.Sequential([keras.layers.Input((4, 3)), keras.layers.GRU(2), keras.layers.Dense(1)])
    for name, model in (("nested", outer), ("recurrent", over_time)):
        for suffix in (".keras", ".h5"):
            model.save(folder / f"{name}{suffix}")


def torch_files(folder: Path) -> None:
    """A net with an open batch axis as exported program, and the same as TorchScript."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten(), nn.Linear(32, 2)).eval()
    x = torch.zeros(2, 1, 6, 6)
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},)), folder / "program.pt2")
    torch.jit.save(torch.jit.trace(model, x), str(folder / "script.pt"))


if __name__ == "__main__":
    {"keras": keras_files, "torch": torch_files}[sys.argv[1]](Path(sys.argv[2]))
