"""What is computed of a lane that is watched, and what its numbers are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.dynamics import Dynamics, dynamics
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import without_gradient
from lropt_jax.training.watching.curvature import (
    hessian_product,
    lanczos,
    largest_eigenvalues,
    preconditioned,
)
from lropt_jax.training.watching.movement import moved, rotations, update_ratios
from lropt_jax.training.watching.names import CURVATURES, Watched, limit_of
from lropt_jax.training.watching.noise import deviations, noise_scale
from lropt_jax.training.watching.objective import AS_IT_IS, Gradient, in_float32, over_batches

Look = Callable[..., dict[str, Any]]

UNDIVIDED = (
    "watch: preconditioned_sharpness needs an optimizer that divides by the size of its gradients, "
    "weight by weight (adam, adamw, amsgrad, nadam, nadamw, adamax, adabelief, qhadam, qhadamw, "
    "swats, rmsprop, adagrad, adadelta, local_gains, alone or in parameter groups, accumulated or "
    "in optax.MultiSteps, and not in a condition as optax.apply_if_finite has it); the steps of "
    "lars, lamb and rprop have a length of their own whatever the curvature; for others watch "
    "sharpness"
)


class Unwatchable(ValueError):
    """What is asked cannot be watched of this optimizer or model."""


def looking(
    gradient: Gradient, tx: optax.GradientTransformation, watched: Watched, batch_size: int,
    group: int, fast: bool,
) -> Look:  # fmt: skip
    """The function of a lane that gives what the host finishes (`numbers`).

    `(params, model_state, opt_state, before, data) -> arrays`, `before` the parameters before the
    last update, or () where no movement is watched.

    Args:
      gradient: of the loss that is watched.
      tx: the optimizer.
      watched: what is watched.
      batch_size: of the task.
      group: examples whose mean gradient is one sample of its noise.
      fast: whether convolutions are rewritten.
    """

    def look(params: Any, model_state: Any, opt_state: Any, before: Any, data: Any) -> Any:
        found: dict[str, Any] = {}
        if watched.movements:
            found["moved"] = moved(before, params)
        curvatures = [name for name in CURVATURES if name in watched.names]
        if not curvatures and "noise_scale" not in watched.names:
            return found
        if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(params)):
            names = ", ".join(n for n in watched.names if n not in watched.movements)
            raise Unwatchable(f"watch: {names} needs real parameters, and some are complex")
        data = jax.tree.map(lambda x: x[: watched.examples], data)
        point = in_float32(params)

        def hessian(vector: Any, point: Any) -> Any:
            whole = over_batches(gradient, batch_size)
            return hessian_product(lambda p: whole(p, model_state, data), point)(vector)

        product = without_gradient(hessian) if fast else hessian
        heard = dynamics(tx, opt_state, params)
        for name in curvatures:
            applied = lambda vector: product(vector, point)  # noqa: E731
            if name == "preconditioned_sharpness":
                applied = preconditioned(applied, _denominators(heard, params))
            found[name] = lanczos(applied, point)
            if heard.divides == (name == "preconditioned_sharpness") and heard.limit is not None:
                found[limit_of(name)] = jnp.asarray(heard.limit)
        if "noise_scale" in watched.names:
            found["noise_scale"] = deviations(gradient, point, model_state, data, group)
        return found

    def precise(*arguments: Any) -> Any:
        # Where a matrix product is less precise by default, curvature would be its rounding.
        with jax.default_matmul_precision("highest"):
            return look(*arguments)

    return precise


def _denominators(heard: Dynamics, params: Any) -> Any:
    if not heard.divides:
        raise Unwatchable(UNDIVIDED)
    try:
        found = heard.denominators(params)
    except ValueError as error:
        raise Unwatchable(f"{UNDIVIDED}: {error}") from error
    return in_float32(found)


def group_size(task: Task, form: str, examples: int) -> int:
    """Of how many examples the gradient is one sample of the noise.

    Of one where each example has a loss of its own; where statistics of a batch are in it, of a
    batch, or half of the examples.
    """
    if form == AS_IT_IS and jax.tree.leaves(jax.eval_shape(task.init, jax.random.key(0))[1]):
        return max(1, min(task.batch_size, examples // 2))
    return 1


def numbers(
    found: Mapping[str, Any], watched: Watched, layers: Sequence[str], **of_noise: Any
) -> dict[str, np.ndarray]:
    """What was found of lanes, finished on the host: numbers by name, (width,).

    Args:
      found: what `looking` gives, (width, ...).
      watched: what is watched.
      layers: the names of the leaves of the parameters.
      **of_noise: see `noise_scale`.
    """
    result: dict[str, np.ndarray] = {}
    for name in watched.names:
        if name in CURVATURES:
            result[name] = largest_eigenvalues(**found[name])
            if limit_of(name) in found:
                result[limit_of(name)] = np.asarray(found[limit_of(name)], float)
        elif name == "noise_scale":
            signal, noise = (np.asarray(found[name][k], float) for k in ("signal", "noise"))
            result[name] = noise_scale(signal, noise, **of_noise)
        else:
            squares = {k: np.asarray(v, float) for k, v in found["moved"].items()}
            values = (update_ratios if name == "update_ratio" else rotations)(squares)
            result[name] = values[:, 0]
            if watched.layers and len(layers) > 1:
                columns = zip(layers, values[:, 1:].T, strict=True)
                result |= {f"{name}/{layer}": column for layer, column in columns}
    return result
