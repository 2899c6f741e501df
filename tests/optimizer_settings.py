"""For every optimizer, each of its numbers at a value that matters; new ones are listed here."""

from __future__ import annotations

from typing import Any

ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-2}
DECAY = {"l2": 0.1, "weight_decay": 0.2}

SETTINGS: dict[str, dict[str, Any]] = {
    "adabelief": ADAM | DECAY,
    "adadelta": {"rho": 0.8, "eps": 1e-2} | DECAY,
    "adagrad": {"eps": 1e-2, "initial_accumulator_value": 0.3} | DECAY,
    "adam": ADAM | DECAY,
    "adamax": ADAM | DECAY,
    "adamw": ADAM | DECAY,
    "amsgrad": ADAM | DECAY,
    "lamb": ADAM | DECAY,
    "lars": {"momentum": 0.8, "trust_coefficient": 0.1, "eps": 0.1} | DECAY,
    "local_gains": {"beta": 0.2, "min_gain": 0.1, "max_gain": 5.0, "momentum": 0.5} | DECAY,
    "nadam": ADAM | DECAY | {"momentum_decay": 0.3},
    "nadamw": ADAM | DECAY | {"momentum_decay": 0.3},
    "qhadam": ADAM | DECAY | {"nu1": 0.6, "nu2": 0.7},
    "qhadamw": ADAM | DECAY | {"nu1": 0.6, "nu2": 0.7},
    "qhm": {"momentum": 0.8, "nu": 0.6} | DECAY,
    "rmsprop": {"decay": 0.8, "eps": 1e-2, "momentum": 0.5, "centered": True} | DECAY,
    "rprop": {"eta_minus": 0.4, "eta_plus": 1.3, "min_step": 1e-3, "max_step": 2.0} | DECAY,
    "sgd": {"momentum": 0.8, "dampening": 0.3} | DECAY,
    "sgdw": {"momentum": 0.8, "nesterov": True} | DECAY,
    "swats": ADAM | DECAY | {"switch_atol": 1e-3, "switch_rtol": 0.5, "min_steps": 1},
}


def numbers(name: str) -> dict[str, float]:
    """The floats among the settings, with the learning rate."""
    found = {k: v for k, v in SETTINGS[name].items() if isinstance(v, float)}
    return {"learning_rate": 0.05, **found}


def fixed(name: str) -> dict[str, Any]:
    return {k: v for k, v in SETTINGS[name].items() if not isinstance(v, float)}
