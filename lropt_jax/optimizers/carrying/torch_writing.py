"""A run of ours goes on in PyTorch."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.hyperparameters.groups import factory_of, tunables
from lropt_jax.hyperparameters.printing import Called
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.optimizers.carrying.differences import warn
from lropt_jax.optimizers.carrying.kinds import CARRIED, Kind
from lropt_jax.optimizers.carrying.parts import (
    check_carriable,
    fixed_of,
    kind_of,
    labels_of,
    moments_in,
    parts_beside,
    paths_of,
)
from lropt_jax.optimizers.carrying.slots import Name, Slot, slots_of
from lropt_jax.optimizers.carrying.torch_parts import refuse_complex
from lropt_jax.optimizers.paths import named_leaves
from lropt_jax.validation import check_transformation

# What each must say of itself, as PyTorch is told it, beside the numbers of its kind.
_DECAYS = ("l2", "weight_decay")
_SAID: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Adam", "NAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"), _DECAYS),
    "SGD": (*_DECAYS, "nesterov"),
    "Rprop": ("l2",),
}


def to_torch(
    tx: optax.GradientTransformation, params: Any, state: Any, names: Sequence[Name]
) -> dict[str, Any]:
    """The state_dict with which PyTorch's optimizer goes on from here: the way back.

    For what `from_torch` reads, into `optimizer.load_state_dict(...)`, whose numbers it sets.

    When to use:
      To hand a run back to PyTorch. Only the optimizers that PyTorch has can go.

    Args:
      tx: our optimizer.
      params: the parameters.
      state: its state.
      names: as in `from_torch`. Where tx is an `optax.partition`, each label becomes a param
        group, and the names of one follow each other.

    Returns:
      A dict with "state" and "param_groups": of tensors where torch is imported, else of arrays.

    Raises:
      ValueError: for what PyTorch has no equal of: a decay under a mask, coupled and decoupled
        decay at once, decoupled decay but for AdamW and NAdamW, complex numbers.

    See also:
      `from_torch`, `from_optax`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import adam, to_torch
      >>> tx, params = adam(0.125), {"kernel": jnp.ones((3, 2))}
      >>> _, state = tx.update(params, tx.init(params), params)
      >>> state_dict = to_torch(tx, params, state, [("kernel", (1, 0))])
      >>> state_dict["param_groups"][0]["lr"], tuple(state_dict["state"][0]["exp_avg"].shape)
      (0.125, (2, 3))
    """
    check_transformation("to_torch: tx", tx)
    check_carriable("to_torch", state)
    slots = slots_of(params, names)
    groups: list[dict[str, Any]] = []
    buffers: dict[int, dict[str, Any]] = {}
    words: list[str] = []
    if any(parts_beside(state)):
        warnings.warn(
            "to_torch carries the optimizer alone: tx is a chain with parts beside it (clipping, a "
            "scale, a decay), which PyTorch's optimizer does not have: do there by hand what they "
            "do",
            UserWarning,
            stacklevel=2,
        )
    optimizers, labels = tunables(state), labels_of(state)
    for optimizer, label, moments, own in _assigned(optimizers, labels, slots):
        if np.ndim(optimizer.count):
            raise ValueError(
                f"{label}state must be of one run, got {optimizer.count.shape} of them"
            )
        kind, count = kind_of(moments), int(optimizer.count)
        if kind.torch != "SGD":
            refuse_complex(own, label)
        group = _group(label, optimizer, moments, kind)
        _refuse_masked(label, tx, optimizer, group)
        words += _other_corrections(label, optimizer, moments, kind)
        groups.append({**group, "params": [slot.number for slot in own]})
        arrays = _buffers(moments, kind, count, group)
        leaves = {key: named_leaves(tree) for key, tree in arrays.items()}
        for slot in own:
            held = {key: slot.theirs(found[slot.path]) for key, found in leaves.items()}
            if kind.torch == "NAdam" and held:
                held["mu_product"] = np.array(moments.mu_product)
            if kind.counts and held:
                held["step"] = np.array(count, np.float32)
            if held:
                buffers[slot.number] = held
    groups.sort(key=lambda group: group["params"][0])
    order = [i for group in groups for i in group["params"]]
    if order != sorted(order):
        raise ValueError(
            "names must give the parameters of one param group after the other, got "
            f"{[group['params'] for group in groups]}"
        )
    warn("to_torch", words)
    return {"state": _as_tensors(buffers), "param_groups": groups}


def _assigned(
    optimizers: Sequence[TunableState], labels: Sequence[str], slots: Sequence[Slot]
) -> list[tuple[TunableState, str, Any, list[Slot]]]:
    """Each optimizer with its moments and its parameters."""
    by_path = {slot.path: slot for slot in slots}
    found: list[tuple[TunableState, str, Any, list[Slot]]] = []
    for optimizer, label in zip(optimizers, labels, strict=True):
        moments, *more = moments_in(optimizer) or [None]
        if more:
            raise ValueError(
                f"{label}tx must have one rate for a param group, got by_layer: give an "
                "optax.partition"
            )
        paths = [] if moments is None else paths_of(moments)
        missing = [path for path in paths if path not in by_path]
        if missing:
            raise ValueError(f"names must also give {', '.join(map(repr, missing))}")
        found.append((optimizer, label, moments, [by_path[path] for path in paths]))
    taken = {slot.path for *_, own in found for slot in own}
    rest = [slot for slot in slots if slot.path not in taken]
    plain = [i for i, (_, _, moments, _) in enumerate(found) if moments is None]
    if len(plain) > 1 or (rest and not plain):
        raise ValueError(
            f"tx must say whose {', '.join(map(repr, (s.path for s in rest)))} are: PyTorch's "
            "optimizers train all, and of plain SGD there can be one"
        )
    for i in plain:
        found[i] = (*found[i][:3], rest)
    return [(o, w, m, sorted(own, key=lambda slot: slot.number)) for o, w, m, own in found]


def _group(label: str, state: TunableState, moments: Any, kind: Kind) -> dict[str, Any]:
    fixed = fixed_of(state)
    ours = {**fixed, **{name: float(x) for name, x in hyperparams(state).items()}}
    hidden = [name for name in _SAID[kind.torch] if name not in ours]
    if hidden:
        raise ValueError(
            f"{label}tx must be built by {', '.join(CARRIED)} themselves, got "
            f"{factory_of(state).name}, which does not say its {', '.join(hidden)}"
        )
    group: dict[str, Any] = {}
    for name, key in kind.numbers.items():
        if name not in ours:
            raise ValueError(f"{label}PyTorch needs {name}, which is no number of this optimizer")
        value = 0.0 if ours[name] is None else ours[name]
        if isinstance(key, str):
            group[key] = value
        else:
            group[key[0]] = (*group.get(key[0], ()), value)
    coupled, decoupled = (ours.get(name) or 0.0 for name in ("l2", "weight_decay"))
    if kind.torch == "Rprop" and coupled:
        raise ValueError(f"{label}l2 must be 0, PyTorch's Rprop has no decay, got {coupled:.6g}")
    named = kind.torch in ("Adam", "NAdam")
    if decoupled and (coupled or not named or fixed.get("independent_decay")):
        raise ValueError(
            f"{label}weight_decay must be 0 where PyTorch has no decoupled decay like it, got "
            f"{decoupled:.6g}"
        )
    if kind.torch != "Rprop":
        group["weight_decay"] = coupled or decoupled
    group |= {"maximize": False, "foreach": None, "differentiable": False, **kind.more}
    if named:
        group["decoupled_weight_decay"] = ours.get("weight_decay") is not None and not coupled
    if kind.torch == "RMSprop":
        group["centered"] = moments.mu is not None
    if "nesterov" in kind.more:
        group["nesterov"] = bool(fixed.get("nesterov"))
    if fixed.get("bias_correction") is False:
        raise ValueError(f"{label}bias_correction must be True, as in PyTorch, got False")
    return group


def _refuse_masked(label: str, tx: Any, state: TunableState, group: Mapping[str, Any]) -> None:
    arguments: Mapping[str, Any] = tx.call[1] if isinstance(tx, Called) else {}
    mask = fixed_of(state).get("mask") or arguments.get("mask")
    if mask is not None and group.get("weight_decay"):
        raise ValueError(
            f"{label}mask must be None, got {mask!r}: PyTorch has a param group for what decays "
            "and one for what does not; give an optax.partition"
        )


def _buffers(moments: Any, kind: Kind, count: int, group: Mapping[str, Any]) -> dict[str, Any]:
    """Trees of PyTorch's buffers, in our layout; none before the first step, but for Adagrad."""
    trees = {key: getattr(moments, field) for key, field in kind.buffers.items()}
    trees = {key: tree for key, tree in trees.items() if tree is not None}
    begun = bool(moments.started) if kind.torch == "SGD" and trees else count > 0
    if not begun and kind.torch != "Adagrad":
        return {}
    if group.get("momentum") == 0:
        trees.pop("momentum_buffer", None)
    if "grad_avg" in trees:
        trees["square_avg"] = jax.tree.map(
            lambda variance, mean: variance + mean**2, trees["square_avg"], trees["grad_avg"]
        )
    if "prev" in trees:
        trees["prev"] = jax.tree.map(
            lambda sign, size: sign.astype(size.dtype), trees["prev"], trees["step_size"]
        )
    return trees


def _other_corrections(label: str, state: TunableState, moments: Any, kind: Kind) -> list[str]:
    """Where the products are not the powers that PyTorch corrects by."""
    numbers, count = hyperparams(state), int(state.count)
    powers = {field: numbers[name] ** count for field, name in kind.products.items()}
    if kind.torch == "NAdam":
        powers["warmth"] = 0.96 ** (count * numbers["momentum_decay"])
    return [
        f"{label}{field} is {float(getattr(moments, field)):.6g}, there the power of the number of "
        f"now, {float(power):.6g}"
        for field, power in powers.items()
        if not np.allclose(getattr(moments, field), power, rtol=1e-4, atol=1e-4)
    ]


def _as_tensors(tree: Any) -> Any:
    """The arrays as tensors, if the user has imported what knows them."""
    torch = sys.modules.get("torch")
    return tree if torch is None else jax.tree.map(torch.as_tensor, tree)
