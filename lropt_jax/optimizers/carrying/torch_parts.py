"""Which of PyTorch's parameters each optimizer here goes on with, and what they must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.optimizers.carrying.kinds import Key, Kind, class_of
from lropt_jax.optimizers.carrying.parts import fixed_of, kind_of, moments_in, paths_of
from lropt_jax.optimizers.carrying.slots import Slot, number
from lropt_jax.validation import whole_number


class Part(NamedTuple):
    """Moments here, and where in PyTorch they come from.

    Attributes:
      label: how an error calls the optimizer.
      optimizer: whose moments they are.
      moments: one of KINDS, or None for plain SGD.
      slots: the parameters; none where it cannot be known.
      group: their param group, or nothing.
    """

    label: str
    optimizer: TunableState
    moments: Any
    slots: Sequence[Slot]
    group: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        return kind_of(self.moments)

    def there(self, key: Key) -> Any:
        """A number of the param group, or None."""
        name, *place = (key,) if isinstance(key, str) else key
        value = self.group.get(name)
        for i in place:
            value = None if value is None else value[i]
        return number(value)

    def has(self, buffer: str) -> bool:
        return any(buffer in slot.buffers for slot in self.slots)

    def here(self, field: str) -> Any:
        """A field of the moments; None where they have none."""
        return getattr(self.moments, field, None)

    def beta(self, name: str) -> float:
        """The beta that PyTorch's moments were made with."""
        there = self.there(self.kind.numbers[name])
        return float(hyperparams(self.optimizer)[name] if there is None else there)


def divided(
    optimizers: Sequence[TunableState],
    labels: Sequence[str],
    slots: Sequence[Slot],
    groups: Sequence[Mapping[str, Any]],
) -> list[list[Part]]:
    """For each optimizer its parts.

    Raises:
      ValueError: for a parameter that an optimizer here trains and `names` does not give, or
        that PyTorch has a state of and none here trains; for one part that has several groups.
    """
    by_path = {slot.path: slot for slot in slots}
    held = [moments_in(x) for x in optimizers]
    paths = [[paths_of(m) for m in moments] for moments in held]
    claimed = {path for of_one in paths for part in of_one for path in part}
    missing = sorted(claimed - set(by_path))
    if missing:
        raise ValueError(f"names must also give {', '.join(map(repr, missing))}, which tx trains")
    rest = [slot for slot in slots if slot.path not in claimed]
    plain = [i for i, moments in enumerate(held) if not moments]
    for slot in rest:
        if not plain and slot.buffers and number(slot.buffers.get("step", 1)) != 0:
            raise ValueError(f"tx does not train {slot}, of which the state_dict has a state")

    def part(i: int, moments: Any, own: Sequence[Slot]) -> Part:
        numbers = sorted({slot.group for slot in own})
        if len(numbers) > 1 and moments is not None:
            raise ValueError(
                f"{labels[i]}the state_dict has several param groups ({numbers}) for what is one "
                "here: give tx as an optax.partition with a label for each group"
            )
        group = groups[numbers[0]] if len(numbers) == 1 else {}
        return Part(labels[i], optimizers[i], moments, own if group else [], group)

    if len(groups) > 1 and sum(map(len, held)) + len(plain) == 1:
        raise ValueError(
            f"the state_dict has {len(groups)} param groups: give tx as an optax.partition with a "
            "label for each, optax.partition({'body': adamw(1e-4), 'head': adamw(1e-3)}, labels)"
        )
    result = []
    for i in range(len(optimizers)):
        pairs = zip(held[i], paths[i], strict=True)
        parts = [part(i, m, sorted(by_path[path] for path in own)) for m, own in pairs]
        result.append(parts or [part(i, None, rest if len(plain) == 1 else [])])
    return result


def check_class(part: Part) -> None:
    """Raises `ValueError` where PyTorch's optimizer is another than the one here."""
    label, kind, fixed = part.label, part.kind, fixed_of(part.optimizer)
    names = {key for slot in part.slots for key in slot.buffers}
    other = class_of(part.group, names)
    if other not in (None, kind.torch):
        raise ValueError(
            f"{label}the state_dict is one of torch.optim.{other}, but tx goes on from {kind.torch}"
        )
    if part.group.get("maximize"):
        raise ValueError(
            f"{label}maximize must be False in the state_dict, got True: negate the loss instead"
        )
    switches: dict[str, tuple[Any, Any]] = {}
    if "amsgrad" in kind.more:
        switches["amsgrad"] = kind.more["amsgrad"], part.has("max_exp_avg_sq")
    if kind.torch == "RMSprop":
        switches["centered"] = part.here("mu") is not None, part.has("grad_avg")
    if "nesterov" in kind.more:
        switches["nesterov"] = fixed.get("nesterov"), None
    for name, (here, of_buffers) in switches.items():
        there = part.group.get(name, of_buffers if names else None)
        if here is not None and there is not None and bool(here) != bool(there):
            raise ValueError(
                f"{label}{name} must be the same on both sides, got {name}={bool(there)} in the "
                f"state_dict, and {bool(here)} here"
            )
    if fixed.get("bias_correction") is False:
        raise ValueError(
            f"{label}bias_correction must be True to go on from PyTorch, which corrects, got False"
        )
    if kind.torch != "SGD":
        refuse_complex(part.slots, label)


def refuse_complex(slots: Sequence[Slot], label: str = "") -> None:
    """Raises `ValueError` for complex parameters, whose parts PyTorch treats as two numbers."""
    for slot in slots:
        if np.iscomplexobj(slot.like):
            raise ValueError(
                f"{label}{slot} must be real, got {slot.like.dtype}: PyTorch has a second moment "
                "for each part of a complex number, here it has one"
            )


def step_of(part: Part, count: int | None) -> int | None:
    """The updates that PyTorch took; None where nobody says.

    Raises:
      ValueError: where the parameters' states are not whole, or do not agree.
    """
    label, kind = part.label, part.kind
    given = None if count is None else whole_number("count", count, 0)
    begun = [slot for slot in part.slots if slot.buffers]
    if not begun:
        if kind.counts and given:
            raise ValueError(f"{label}the state_dict has no state yet, but count is {given}")
        return 0 if kind.counts else given
    for slot in part.slots:
        _check_whole(part, slot)
    if not kind.counts:
        if given == 0:
            raise ValueError(f"{label}count must be > 0 where there is momentum, got 0")
        return given
    steps = {slot.path: number(slot.buffers["step"]) for slot in part.slots}
    for slot in part.slots:
        whole_number(f"{label}the step of {slot}", steps[slot.path], 0)
    first, step = next(iter(steps.items()))
    for path, other in steps.items():
        if other != step:
            raise ValueError(
                f"{label}all parameters must be at one step, got {int(step)} for {first!r} and "
                f"{int(other)} for {path!r}: give those that PyTorch trained less a label of "
                "their own in an optax.partition"
            )
    if given not in (None, step):
        raise ValueError(f"{label}count is {given}, but the state_dict's step is {int(step)}")
    return int(step)


def _check_whole(part: Part, slot: Slot) -> None:
    kind = part.kind
    needed = {*kind.buffers, *kind.scalars, *(["step"] if kind.counts else [])}
    if kind.torch == "RMSprop":
        needed -= {"grad_avg"} if part.here("mu") is None else set()
    momentum = part.there("momentum")
    if momentum == 0 or (momentum is None and not part.has("momentum_buffer")):
        needed -= {"momentum_buffer"}
    missing = sorted(needed - set(slot.buffers))
    if missing:
        raise ValueError(
            f"{part.label}the state_dict is not whole: it has no {', '.join(missing)} for {slot}"
            if slot.buffers
            else f"{part.label}the state_dict is not whole: it has nothing for {slot}, but a state "
            "of others; leave what PyTorch did not train out of tx (optax.set_to_zero in an "
            "optax.partition)"
        )


def numbers_of(part: Part, step: int) -> dict[str, Any]:
    """The numbers of the param group by their names here, as PyTorch's next step uses them."""
    there = {
        name: part.there(key)
        for name, key in part.kind.numbers.items()
        if (key if isinstance(key, str) else key[0]) in part.group
    }
    decay = part.there("lr_decay")
    if decay and "learning_rate" in there:
        there["learning_rate"] /= 1 + step * decay
    if "weight_decay" in part.group:
        decay = part.there("weight_decay")
        decoupled = part.group.get("decoupled_weight_decay")
        if decoupled is None:  # before PyTorch 2.7, Adam and AdamW cannot be told apart
            decoupled = "weight_decay" in part.optimizer.hyperparams
        if decoupled and fixed_of(part.optimizer).get("independent_decay"):
            decay *= there.get("learning_rate", 1.0)
        there |= {"l2": 0.0 if decoupled else decay, "weight_decay": decay if decoupled else 0.0}
    return there
