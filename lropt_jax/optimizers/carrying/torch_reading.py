"""A run begun in PyTorch goes on here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optax

from lropt_jax.hyperparameters.groups import tunables
from lropt_jax.optimizers.carrying.differences import differences, warn
from lropt_jax.optimizers.carrying.parts import (
    check_carriable,
    counting,
    filled,
    labels_of,
    placed,
    with_moments,
    with_optimizers,
)
from lropt_jax.optimizers.carrying.slots import Name, number, slots_of, with_buffers
from lropt_jax.optimizers.carrying.torch_parts import (
    Part,
    check_class,
    divided,
    numbers_of,
    step_of,
)
from lropt_jax.schedules.base import Schedule
from lropt_jax.validation import check_transformation


def from_torch(
    tx: optax.GradientTransformation,
    params: Any,
    state_dict: Mapping[str, Any],
    names: Sequence[Name],
    count: int | None = None,
) -> Any:
    """The state with which a run that PyTorch began goes on here, step by step.

    For SGD, Adam, AdamW, AMSGrad, RMSprop, Adagrad, Adadelta, NAdam, Adamax and Rprop, by the
    optimizer here that has the name. The numbers are those of `tx` (a schedule at the count that
    was reached); those of the state_dict that differ are named in one warning. What PyTorch says
    of how it computes (`foreach`, `fused`, `capturable`, `differentiable`) has no meaning here.

    When to use:
      In the middle of a run that PyTorch began. It needs the names of the parameters, and the
      transpositions of the layers; the weights themselves you convert.

    Args:
      tx: our optimizer, alone or in a chain, `accumulate`, `optax.MultiSteps`. Several param
        groups need an `optax.partition`, each of whose labels has parameters of one group.
      params: the parameters here, carried over by yourself: their shapes and names are read.
      state_dict: `optimizer.state_dict()`; its tensors are read by their `numpy()`, so arrays of
        NumPy will do.
      names: for each of PyTorch's parameters, in the order of its groups, the path of its leaf
        ("dense/kernel"), or (path, axes) where the layouts differ: the permutation from
        PyTorch's to ours, (1, 0) for the kernel of a Flax `Dense`, (2, 3, 1, 0) for that of a
        two-dimensional `Conv`.
      count: updates taken so far, which SGD's state_dict does not say: a schedule goes on there.

    Returns:
      The state: what `tx.init(params)` gives, with PyTorch's moments and count.

    Raises:
      ValueError: for a state_dict of another class; for AMSGrad, `centered` or `nesterov` on one
        side alone, or `maximize`; for a state that is not whole (a buffer, a step or a parameter
        is missing, moments at step 0, parameters of different steps); for shapes that differ.

    See also:
      `to_torch`, `from_optax`.

    Example:
      >>> import jax.numpy as jnp, numpy as np
      >>> from lropt_jax import adam, from_torch
      >>> moments = {"step": 3, "exp_avg": np.ones((2, 3)), "exp_avg_sq": np.ones((2, 3))}
      >>> group = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-8, "params": [0]}
      >>> state_dict = {"state": {0: moments}, "param_groups": [group]}  # optimizer.state_dict()
      >>> params = {"kernel": jnp.ones((3, 2))}  # torch's weight, transposed
      >>> state = from_torch(adam(0.1, 0.5, 0.75), params, state_dict, [("kernel", (1, 0))])
      >>> int(state.count), float(state.inner_state.b1_product)  # 0.5 to the power of 3
      (3, 0.125)
    """
    check_transformation("from_torch: tx", tx)
    state = tx.init(params)
    check_carriable("from_torch", state)
    slots, groups = with_buffers(slots_of(params, names), state_dict)
    optimizers = tunables(state)
    carried, words = [], []
    for parts in divided(optimizers, labels_of(state), slots, groups):
        label, optimizer, new = parts[0].label, parts[0].optimizer, []
        steps: list[int | None] = []
        for part in parts:
            check_class(part)
            steps.append(step_of(part, count))
            if part.moments is not None:
                new.append(_moved(part, steps[-1]))
        if len(set(steps)) > 1:
            raise ValueError(f"{label}all parameters must be at one step, got {steps}")
        reached = steps[0] or 0
        optimizer = optimizer._replace(count=placed(reached, optimizer.count))
        carried.append(with_moments(optimizer, new))
        there = numbers_of(parts[0], reached)
        if len(parts) > 1:  # of `by_layer`: each layer has a rate of its own
            there.pop("learning_rate", None)
        words += differences(optimizer, there, label)
        scheduled = any(isinstance(x, Schedule) for x in optimizer.hyperparams.values())
        if steps[0] is None and scheduled:
            words.append(f"{label}SGD does not say its count, so schedules begin at 0: give count=")
    warn("from_torch", words)
    return counting(with_optimizers(state, carried), carried[0].count)


def _moved(part: Part, step: int | None) -> Any:
    """The moments with what PyTorch has in their place."""
    moments, kind = part.moments, part.kind
    arrays: dict[str, dict[str, np.ndarray]] = {
        key: {slot.path: slot.ours(key) for slot in part.slots}
        for key, field in kind.buffers.items()
        if part.has(key) and part.here(field) is not None
    }
    if (not step and kind.counts) or not arrays:
        for key, values in arrays.items():
            _check_unmoved(part, key, values)
        return moments
    if kind.torch == "RMSprop" and "grad_avg" in arrays:  # here the variance itself is kept
        for path, mean in arrays["grad_avg"].items():
            squares = arrays["square_avg"][path]
            arrays["square_avg"][path] = np.maximum(squares - mean**2, 0)
    if kind.torch == "Rprop":
        arrays["prev"] = {path: np.sign(x) for path, x in arrays["prev"].items()}
    fields: dict[str, Any] = {
        kind.buffers[key]: filled(part.here(kind.buffers[key]), values)
        for key, values in arrays.items()
    }
    count = step or 0
    scalars: dict[str, Any] = {}
    if kind.torch == "SGD":
        scalars["started"] = True
    else:
        scalars |= {field: part.beta(name) ** count for field, name in kind.products.items()}
    if kind.torch == "NAdam":
        scalars["mu_product"] = number(part.slots[0].buffers["mu_product"])
        scalars["warmth"] = 0.96 ** (count * part.beta("momentum_decay"))
    fields |= {name: placed(x, part.here(name)) for name, x in scalars.items()}
    return moments._replace(**fields)


def _check_unmoved(part: Part, key: str, values: Mapping[str, np.ndarray]) -> None:
    """Raises `ValueError` for moments before the first step."""
    start = part.there("initial_accumulator_value") or 0.0 if key == "sum" else 0.0
    for path, array in values.items():
        moved = np.any(array != start)
        if moved and not (part.kind.torch == "Rprop" and key == "step_size"):
            raise ValueError(
                f"{part.label}the state_dict is not whole: step is 0, but {key} of {path!r} has "
                "moved already"
            )
