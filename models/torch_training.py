"""Trains a torch classifier on the digits, and prepares the images as every torch model here takes them."""

import math

import digits
import numpy as np
import torch
from torch import nn

MEAN = 0.305  # of the training images
STD = 0.318


def prepare(images: digits.Images) -> digits.Images:
    """[samples, height, width] in 0..1 -> [samples, 1, height, width], normalised to mean 0 and deviation 1."""
    return ((images - np.float32(MEAN)) / np.float32(STD))[:, None]


def distort(images: torch.Tensor) -> torch.Tensor:
    """Turns (10 degrees), scales (10 %) and shifts (1.5 pixels) each image at random; what comes in from outside is paper.

    Args:
        images: [samples, 1, height, width], 0 = paper.
    """
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * math.radians(10)
    scale = 1 + (torch.rand(count) * 2 - 1) * 0.1
    shift = (torch.rand(count, 2) * 2 - 1) * (1.5 * 2 / images.shape[-1])  # affine_grid counts the image as -1..1
    row_0 = torch.stack([scale * angle.cos(), -scale * angle.sin(), shift[:, 0]], dim=1)
    row_1 = torch.stack([scale * angle.sin(), scale * angle.cos(), shift[:, 1]], dim=1)
    grid = nn.functional.affine_grid(torch.stack([row_0, row_1], dim=1), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def fit(model: nn.Module, train: digits.Split, *, epochs: int, learning_rate: float, batch: int = 64) -> None:
    """Trains in place with AdamW, one-cycle learning rate and distorted images, and leaves the model in eval mode.

    Runs on one thread with deterministic kernels. The caller seeds torch before it builds the model. The number of epochs is fixed:
    nothing is chosen by looking at the held-out images.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = torch.from_numpy(train.images[:, None]), torch.from_numpy(train.labels)
    steps = len(images) // batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images))[: steps * batch].split(batch):
            logits = model((distort(images[chosen]) - MEAN) / STD)
            loss = nn.functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
