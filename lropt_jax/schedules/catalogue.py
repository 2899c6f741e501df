"""Every schedule by its name, each with an example. A new one is listed here, and tested by it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lropt_jax.schedules import composition, cycles, decay, feedback, ramps, restarts, warmups
from lropt_jax.schedules.base import Schedule
from lropt_jax.schedules.time_based import time_decay

# Each constructor with arguments that show what it does, over some hundred updates.
_CATALOGUE: tuple[tuple[Callable[..., Schedule], dict[str, Any]], ...] = (
    (ramps.constant, {"value": 0.1}),
    (ramps.linear, {"init_value": 0.1, "end_value": 0.0, "transition_steps": 100}),
    (
        ramps.polynomial,
        {"init_value": 0.1, "end_value": 0.0, "power": 2, "transition_steps": 100},
    ),
    (decay.exponential_decay, {"init_value": 0.1, "decay_rate": 0.97}),
    (decay.natural_exp_decay, {"init_value": 0.1, "decay_rate": 0.03}),
    (decay.inverse_time_decay, {"init_value": 0.1, "decay_rate": 0.03}),
    (time_decay, {"init_value": 0.1, "decay_rate": 0.001}),
    (decay.step_decay, {"init_value": 0.1}),
    (decay.piecewise_constant, {"boundaries": [40, 80], "values": [0.1, 0.05, 0.01]}),
    (ramps.cosine_decay, {"init_value": 0.1, "decay_steps": 100}),
    (restarts.warm_restarts, {"init_value": 0.1, "first_cycle_steps": 30}),
    (cycles.cyclic, {"base_value": 0.01, "peak_value": 0.1, "steps_up": 20}),
    (cycles.one_cycle, {"peak_value": 0.1, "total_steps": 100}),
    (cycles.one_cycle_momentum, {"total_steps": 100}),
    (warmups.inverse_sqrt, {"peak_value": 0.1, "warmup_steps": 10}),
    (
        warmups.warmup_stable_decay,
        {"peak_value": 0.1, "warmup_steps": 10, "stable_steps": 60, "decay_steps": 30},
    ),
    (composition.warmup, {"schedule": ramps.cosine_decay(0.1, 90), "steps": 10}),
    (
        composition.sequence,
        {
            "schedules": [ramps.linear(0.0, 0.1, 40), 0.1, ramps.cosine_decay(0.1, 40)],
            "boundaries": [40, 80],
        },
    ),
    (composition.per_epoch, {"schedule": decay.step_decay(0.1, every=2), "steps_per_epoch": 20}),
    (feedback.reduce_on_plateau, {"init_value": 0.1}),
)

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    constructor.__name__: constructor for constructor, _ in _CATALOGUE
}
for _constructor, _arguments in _CATALOGUE:
    # `one_cycle.example()`, also with some numbers of one's own: `example(peak_value=1.0)`.
    _constructor.example = functools.partial(_constructor, **_arguments)  # type: ignore[attr-defined]
