"""Every schedule by its name."""

from __future__ import annotations

from collections.abc import Callable

from lropt_jax.schedules import composition, cycles, decay, feedback, ramps, restarts, warmups
from lropt_jax.schedules.base import Schedule
from lropt_jax.schedules.time_based import time_decay

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    constructor.__name__: constructor
    for constructor in (
        ramps.constant,
        ramps.linear,
        ramps.polynomial,
        decay.exponential_decay,
        decay.natural_exp_decay,
        decay.inverse_time_decay,
        time_decay,
        decay.step_decay,
        decay.piecewise_constant,
        ramps.cosine_decay,
        restarts.warm_restarts,
        cycles.cyclic,
        cycles.one_cycle,
        cycles.one_cycle_momentum,
        warmups.inverse_sqrt,
        warmups.warmup_stable_decay,
        composition.warmup,
        composition.sequence,
        composition.per_epoch,
        feedback.reduce_on_plateau,
    )
}
