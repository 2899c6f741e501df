"""torch-lr-finder's loss curve for given initial weights and batches."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset
from torch_lr_finder import LRFinder

FACTORIES: dict[str, Any] = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
}


def network(weights: list[tuple[np.ndarray, np.ndarray]]) -> torch.nn.Module:
    """Dense layers with ReLU between them, from kernels (in, out) and biases."""
    layers: list[torch.nn.Module] = []
    for kernel, bias in weights:
        layer = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.array(kernel.T)))
            layer.bias.copy_(torch.from_numpy(np.array(bias)))
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def curve(
    weights: list[tuple[np.ndarray, np.ndarray]],
    data: dict[str, np.ndarray],
    batches: np.ndarray,
    optimizer: str,
    start: float,
    end: float,
    valid: dict[str, np.ndarray] | None = None,
    spacing: str = "exp",
) -> tuple[np.ndarray, np.ndarray]:
    """Learning rates and losses, unsmoothed, until torch-lr-finder stops."""

    def dataset(split: dict[str, np.ndarray]) -> TensorDataset:
        x, y = torch.from_numpy(np.array(split["x"])), torch.from_numpy(np.array(split["y"]))
        return TensorDataset(x, y.long())

    net = network(weights)
    tx = FACTORIES[optimizer](net.parameters(), start)
    finder = LRFinder(net, tx, torch.nn.CrossEntropyLoss(), device="cpu")
    loader = DataLoader(dataset(data), batch_sampler=[list(map(int, b)) for b in batches])
    val_loader = None if valid is None else DataLoader(dataset(valid), batch_size=len(valid["y"]))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        finder.range_test(
            loader, val_loader, start, end, len(batches), spacing, smooth_f=0, diverge_th=5
        )
    return np.array(finder.history["lr"]), np.array(finder.history["loss"])
