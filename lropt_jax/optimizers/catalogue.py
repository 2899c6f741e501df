"""All optimizers by name. A new one is listed here, and tested by being listed."""

from __future__ import annotations

from collections.abc import Callable

import optax

from lropt_jax.optimizers.adaptive_gradients import adadelta, adagrad
from lropt_jax.optimizers.adaptive_moments import adam, adamw
from lropt_jax.optimizers.belief import adabelief
from lropt_jax.optimizers.gradient_descent import sgd, sgdw
from lropt_jax.optimizers.layerwise import lamb, lars
from lropt_jax.optimizers.maxima import adamax, amsgrad
from lropt_jax.optimizers.nesterov_moments import nadam, nadamw
from lropt_jax.optimizers.quasi_hyperbolic import qhadam, qhadamw, qhm
from lropt_jax.optimizers.root_mean_square import rmsprop
from lropt_jax.optimizers.sign_based import local_gains, rprop
from lropt_jax.optimizers.switching import swats

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "adabelief": adabelief,
    "adadelta": adadelta,
    "adagrad": adagrad,
    "adam": adam,
    "adamax": adamax,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "lamb": lamb,
    "lars": lars,
    "local_gains": local_gains,
    "nadam": nadam,
    "nadamw": nadamw,
    "qhadam": qhadam,
    "qhadamw": qhadamw,
    "qhm": qhm,
    "rmsprop": rmsprop,
    "rprop": rprop,
    "sgd": sgd,
    "sgdw": sgdw,
    "swats": swats,
}
