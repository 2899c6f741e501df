"""Which class of PyTorch an optimizer's state goes on from, and what is called how there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lropt_jax.optimizers.adaptive_gradients import ScaleByAdadeltaState, ScaleByAdagradState
from lropt_jax.optimizers.adaptive_moments import ScaleByAdamState
from lropt_jax.optimizers.gradient_descent import ScaleByMomentumState
from lropt_jax.optimizers.maxima import ScaleByAdamaxState, ScaleByAmsgradState
from lropt_jax.optimizers.nesterov_moments import ScaleByNadamState
from lropt_jax.optimizers.root_mean_square import ScaleByRmspropState
from lropt_jax.optimizers.sign_based import ScaleByRpropState

# Other optimizers here have states of the same types, which mean something else.
CARRIED = [
    "sgd",
    "sgdw",
    "adam",
    "adamw",
    "amsgrad",
    "nadam",
    "nadamw",
    "adamax",
    "rmsprop",
    "adagrad",
    "adadelta",
    "rprop",
]

Key = str | tuple[str, int]  # of a param group, and the place in a tuple


@dataclasses.dataclass(frozen=True)
class Kind:
    """One of our states, and the class of PyTorch whose state it is.

    Attributes:
      torch: the name of the class.
      buffers: its arrays for each parameter, and our fields.
      numbers: our numbers, and its keys in a param group.
      products: our fields that hold the product of a beta, and the beta.
      scalars: its further numbers for each parameter.
      counts: whether it counts its steps.
      more: keys of a param group that only the class has, with their defaults.
    """

    torch: str
    buffers: Mapping[str, str]
    numbers: Mapping[str, Key]
    products: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scalars: tuple[str, ...] = ()
    counts: bool = True
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


RATE: dict[str, Key] = {"learning_rate": "lr"}
ADAM: dict[str, Key] = {**RATE, "b1": ("betas", 0), "b2": ("betas", 1), "eps": "eps"}
BOTH = {"b1_product": "b1", "b2_product": "b2"}
MOMENTS = {"exp_avg": "mu", "exp_avg_sq": "nu"}

PLAIN = Kind(  # SGD without momentum has no state of its own
    "SGD",
    {},
    {**RATE, "momentum": "momentum", "dampening": "dampening"},
    counts=False,
    more={"nesterov": False, "fused": None},
)

KINDS: dict[type, Kind] = {
    ScaleByMomentumState: dataclasses.replace(PLAIN, buffers={"momentum_buffer": "velocity"}),
    ScaleByAdamState: Kind(
        "Adam", MOMENTS, ADAM, BOTH, more={"amsgrad": False, "fused": None, "capturable": False}
    ),
    ScaleByAmsgradState: Kind(
        "Adam",
        {**MOMENTS, "max_exp_avg_sq": "nu_max"},
        ADAM,
        BOTH,
        more={"amsgrad": True, "fused": None, "capturable": False},
    ),
    ScaleByNadamState: Kind(
        "NAdam",
        MOMENTS,
        {**ADAM, "momentum_decay": "momentum_decay"},
        {"b2_product": "b2"},
        ("mu_product",),
        more={"capturable": False},
    ),
    ScaleByAdamaxState: Kind(
        "Adamax",
        {"exp_avg": "mu", "exp_inf": "largest"},
        ADAM,
        {"b1_product": "b1"},
        more={"capturable": False},
    ),
    ScaleByRmspropState: Kind(
        "RMSprop",
        {"square_avg": "nu", "grad_avg": "mu", "momentum_buffer": "velocity"},
        {**RATE, "decay": "alpha", "eps": "eps", "momentum": "momentum"},
        more={"capturable": False},
    ),
    ScaleByAdagradState: Kind(
        "Adagrad",
        {"sum": "sum_of_squares"},
        {**RATE, "eps": "eps", "initial_accumulator_value": "initial_accumulator_value"},
        more={"lr_decay": 0.0, "fused": None},
    ),
    ScaleByAdadeltaState: Kind(
        "Adadelta",
        {"square_avg": "squared_gradient", "acc_delta": "squared_step"},
        {**RATE, "rho": "rho", "eps": "eps"},
        more={"capturable": False},
    ),
    ScaleByRpropState: Kind(
        "Rprop",
        {"step_size": "step_sizes", "prev": "signs"},
        {
            **RATE,
            "eta_minus": ("etas", 0),
            "eta_plus": ("etas", 1),
            "min_step": ("step_sizes", 0),
            "max_step": ("step_sizes", 1),
        },
        more={"capturable": False},
    ),
}

# What only one class has, of each parameter or in a param group, in the order of asking.
_SIGNS = {
    "Muon": {"ns_steps", "ns_coefficients"},
    "Adafactor": {"beta2_decay", "row_var", "col_var"},
    "ASGD": {"lambd", "t0", "eta"},
    "LBFGS": {"history_size", "line_search_fn", "old_dirs"},
    "NAdam": {"momentum_decay", "mu_product"},
    "Adamax": {"exp_inf"},
    "Rprop": {"etas", "step_size", "prev"},
    "Adadelta": {"rho", "acc_delta"},
    "Adagrad": {"lr_decay", "sum"},
    "RMSprop": {"alpha", "square_avg"},
    "Adam": {"amsgrad", "max_exp_avg_sq"},
    "RAdam": {"decoupled_weight_decay"},
    "SGD": {"dampening", "nesterov", "momentum_buffer"},
}


def class_of(group: Mapping[str, Any], buffers: set[str]) -> str | None:
    """The class of PyTorch that a param group and the names of its buffers are of, if they say."""
    words = {*group, *buffers}
    return next((name for name, signs in _SIGNS.items() if signs & words), None)
