"""Optimizers of PyTorch whose state_dicts are stored, and ours that go on from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import lropt_jax as lr


class Case(NamedTuple):
    """A class of torch.optim with its arguments, and the optimizer here."""

    torch: str
    arguments: dict[str, Any]
    ours: Callable[[], Any]


CASES: dict[str, Case] = {
    "sgd": Case("SGD", {"lr": 0.1, "momentum": 0.9}, lambda: lr.sgd(0.1, momentum=0.9)),
    "adam": Case("Adam", {"lr": 0.1, "betas": (0.8, 0.9)}, lambda: lr.adam(0.1, 0.8, 0.9)),
    "adamw": Case(
        "AdamW", {"lr": 0.1, "weight_decay": 0.2}, lambda: lr.adamw(0.1, weight_decay=0.2)
    ),
    "amsgrad": Case(
        "Adam",
        {"lr": 0.1, "betas": (0.8, 0.6), "amsgrad": True},
        lambda: lr.amsgrad(0.1, 0.8, 0.6),
    ),
    "rmsprop": Case(
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "centered": True, "momentum": 0.8, "eps": 1e-2},
        lambda: lr.rmsprop(0.1, 0.9, 1e-2, momentum=0.8, centered=True),
    ),
    "adagrad": Case("Adagrad", {"lr": 0.1}, lambda: lr.adagrad(0.1)),
    "adadelta": Case("Adadelta", {"lr": 0.7, "rho": 0.8}, lambda: lr.adadelta(0.7, 0.8)),
    "nadam": Case(
        "NAdam",
        {"lr": 0.1, "momentum_decay": 0.3},
        lambda: lr.nadam(0.1, momentum_decay=0.3),
    ),
    "adamax": Case("Adamax", {"lr": 0.1}, lambda: lr.adamax(0.1)),
    "rprop": Case("Rprop", {"lr": 0.1}, lambda: lr.rprop(0.1)),
}
