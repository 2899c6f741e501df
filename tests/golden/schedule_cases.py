"""Settings of our schedules beside the same schedules elsewhere, for `make_schedules.py`."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """One schedule here and in PyTorch.

    Attributes:
      name: our constructor.
      arguments: of it.
      reference: PyTorch's scheduler.
      settings: of it.
      init_value: the optimizer's learning rate when the scheduler is made.
      key: the number that the scheduler sets.
    """

    name: str
    arguments: dict[str, Any]
    reference: str
    settings: dict[str, Any]
    init_value: float = 0.3
    key: str = "lr"


def _cycle(three_phase: bool, anneal: str) -> dict[str, Any]:
    shape = {"anneal": anneal, "three_phase": three_phase}
    return {"total_steps": 50, "warmup_fraction": 0.37, **shape}


def _one_cycle_lr(three_phase: bool, anneal: str) -> dict[str, Any]:
    return {
        "max_lr": 0.8,
        "total_steps": 50,
        "pct_start": 0.37,
        "anneal_strategy": {"cosine": "cos"}.get(anneal, anneal),
        "three_phase": three_phase,
    }


STEPS = 50
CASES = [
    Case(
        "step_decay",
        {"init_value": 0.3, "drop": 0.4, "every": 7},
        "StepLR",
        {"step_size": 7, "gamma": 0.4},
    ),
    Case(
        "piecewise_constant",
        {"boundaries": [5, 9, 9], "values": [0.3, 0.15, 0.075, 0.0375]},
        "MultiStepLR",
        {"milestones": [5, 9, 9], "gamma": 0.5},
    ),
    Case(
        "exponential_decay",
        {"init_value": 0.3, "decay_rate": 0.93},
        "ExponentialLR",
        {"gamma": 0.93},
    ),
    Case(
        "linear",
        {"init_value": 0.3 * 0.2, "end_value": 0.3 * 0.9, "transition_steps": 33},
        "LinearLR",
        {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 33},
    ),
    Case(
        "polynomial",
        {"init_value": 0.3, "end_value": 0.0, "power": 1.7, "transition_steps": 40},
        "PolynomialLR",
        {"total_iters": 40, "power": 1.7},
    ),
    Case(
        "cosine_decay",
        {"init_value": 0.3, "decay_steps": 49, "alpha": 0.1},
        "CosineAnnealingLR",
        {"T_max": 49, "eta_min": 0.03},
    ),
    *(
        Case(
            "warm_restarts",
            {"init_value": 0.3, "first_cycle_steps": 4, "cycle_mult": mult, "end_value": 0.01},
            "CosineAnnealingWarmRestarts",
            {"T_0": 4, "T_mult": mult, "eta_min": 0.01},
        )
        for mult in (1, 2)
    ),
    *(
        Case(
            "cyclic",
            {"base_value": low, "peak_value": high, "steps_up": 6, "steps_down": 5, **shape},
            "CyclicLR",
            {
                "base_lr": 0.01,
                "max_lr": 0.3,
                "step_size_up": 6,
                "step_size_down": 5,
                "base_momentum": 0.8,
                "max_momentum": 0.9,
                **shape,
            },
            key=key,
        )
        for shape in (
            {"mode": "triangular"},
            {"mode": "triangular2"},
            {"mode": "exp_range", "gamma": 0.97},
        )
        for low, high, key in ((0.01, 0.3, "lr"), (0.9, 0.8, "momentum"))
    ),
    *(
        case
        for three_phase in (False, True)
        for anneal in ("cosine", "linear")
        for case in (
            Case(
                "one_cycle",
                {"peak_value": 0.8, **_cycle(three_phase, anneal)},
                "OneCycleLR",
                _one_cycle_lr(three_phase, anneal),
            ),
            Case(
                "one_cycle_momentum",
                _cycle(three_phase, anneal),
                "OneCycleLR",
                _one_cycle_lr(three_phase, anneal),
                key="momentum",
            ),
        )
    ),
]

OBSERVED = [9.0, 7.0, 7.0, 6.9999, 7.5, 5.0, 5.1, 5.2, 5.3, 5.0, 5.0, float("nan"), 4.0, 4.1, 1.0]
OBSERVED = OBSERVED + OBSERVED[::-1]
PLATEAUS = [
    {"factor": 0.5, "patience": 1},
    {"factor": 0.5, "patience": 0, "cooldown": 2, "min_value": 0.04},
    {"factor": 0.1, "patience": 2, "threshold": 0.05, "mode": "max"},
    {"factor": 0.3, "patience": 1, "threshold": 0.2, "threshold_mode": "abs", "eps": 0.05},
    {"factor": 0.3, "patience": 0, "threshold": 0.2, "threshold_mode": "abs", "mode": "max"},
]
