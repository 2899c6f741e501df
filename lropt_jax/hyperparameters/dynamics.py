"""How an optimizer meets a curvature: what it divides by, and how much of it it can bear.

An optimizer's parts know it while they make an update: the step its learning rate, the direction
its response and its denominators. They say so, and `dynamics` listens.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.extend import core

from lropt_jax.hyperparameters.updating import updated

OfState = Callable[[Any], Any]  # of a direction's state


class Direction(NamedTuple):
    r"""What is known of a direction.

    Attributes:
      response: $r$, its size over that of a gradient that changes its sign at each update, once
        it has settled; None where it is not known.
      denominators: what it divides the gradient by, as its state has it; None for nothing.
    """

    response: Any
    denominators: Any


@dataclasses.dataclass
class Dynamics:
    r"""What the parts of an optimizer say about its next update.

    Attributes:
      learning_rates: of each step.
      directions: one for each, in the order of the steps.
    """

    learning_rates: list[Any] = dataclasses.field(default_factory=list)
    directions: list[Direction] = dataclasses.field(default_factory=list)

    @property
    def limit(self) -> Any:
        r"""The largest curvature $\lambda$ along which the training is stable, or None.

        The iterates begin to grow where they change their sign at each update:
        $-2p = -\eta r \lambda p$, so $\lambda = 2/(\eta r)$. For adaptive optimizers it is the
        curvature over the denominators. Weight decays are left out. None where there is not one
        learning rate and one direction whose response is known.
        """
        if len(self.learning_rates) != 1 or len(self.directions) != 1:
            return None
        response = self.directions[0].response
        return None if response is None else 2 / (self.learning_rates[0] * response)

    @property
    def divides(self) -> bool:
        """Whether every direction has denominators."""
        return bool(self.directions) and all(
            direction.denominators is not None for direction in self.directions
        )

    def denominators(self, params: Any) -> Any:
        """The denominators of all parameters as one tree; parameter groups have some each.

        Raises:
          ValueError: where a parameter has none, or more than one.
        """
        leaves, structure = jax.tree.flatten(params)
        found: list[list[Any]] = [[] for _ in leaves]
        for direction in self.directions:
            own = jax.tree.leaves(direction.denominators, is_leaf=_is_absent)
            for place, leaf in zip(found, own, strict=True):
                if not _is_absent(leaf):
                    place.append(leaf)
        if any(len(place) != 1 for place in found):
            raise ValueError("not every parameter has one denominator")
        return jax.tree.unflatten(structure, [place[0] for place in found])


_listening: contextvars.ContextVar[Dynamics | None] = contextvars.ContextVar(
    "listening", default=None
)


def dynamics(tx: optax.GradientTransformation, state: Any, params: Any) -> Dynamics:
    """What an optimizer says about its next update from here. Nothing is computed for the update.

    Nothing is known of one whose parts make their update in a condition (`apply_if_finite`),
    unless these say it before (`accumulate`), or it is `optax.MultiSteps`, whose inner optimizer
    is asked.

    Args:
      tx: the optimizer.
      state: its state.
      params: the parameters.
    """

    owner = getattr(tx.update, "__self__", None)
    if isinstance(owner, optax.MultiSteps) and isinstance(state, optax.MultiStepsState):
        return dynamics(owner.inner_opt, state.inner_opt_state, params)

    def heard(state: Any, params: Any) -> Any:
        found = Dynamics()
        token = _listening.set(found)
        try:
            nothing = jax.tree.map(jnp.zeros_like, params)
            updated(tx, nothing, state, params, jnp.zeros(()))
        finally:
            _listening.reset(token)
        return found.learning_rates, found.directions

    given = state, params
    traced, shapes = jax.make_jaxpr(heard, return_shape=True)(*given)
    if any(isinstance(x, jax.core.Tracer) for x in traced.consts):  # of a condition in it
        return Dynamics()
    values = core.jaxpr_as_fun(traced)(*jax.tree.leaves(given))
    return Dynamics(*jax.tree.unflatten(jax.tree.structure(shapes), values))


def answering(
    direction: optax.GradientTransformation,
    response: OfState | None = None,
    denominators: OfState | None = None,
) -> optax.GradientTransformation:
    r"""A direction that says how it meets a curvature.

    Args:
      direction: the transformation.
      response: gives `Direction.response` from its state: of plain descent 1, of heavy-ball
        momentum $1/(1+\mu)$, of an average $(1-\beta)/(1+\beta)$.
      denominators: what it divides by, from its state: a tree like the parameters.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        heard = _listening.get()
        if heard is not None:
            heard.directions.append(
                Direction(
                    None if response is None else response(state),
                    None if denominators is None else denominators(state),
                )
            )
        changed: tuple[Any, Any] = direction.update(updates, state, params)
        return changed

    return optax.GradientTransformation(direction.init, update)


def says(tx: optax.GradientTransformation, updates: Any, state: Any, params: Any) -> None:
    """Lets a part say now what it would say in a condition, where nobody can listen."""
    if _listening.get() is not None:
        optax.with_extra_args_support(tx).update(updates, state, params)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """What parts say in here has been said."""
    token = _listening.set(None)
    try:
        yield
    finally:
        _listening.reset(token)


def at_rate(learning_rate: Any) -> None:
    """Says the learning rate of a step."""
    heard = _listening.get()
    if heard is not None:
        heard.learning_rates.append(learning_rate)


def of_average(decay: Any) -> Any:
    r"""The response of $m \leftarrow \beta m + (1 - \beta) g$."""
    return (1 - decay) / (1 + decay)


def _is_absent(x: Any) -> bool:
    return isinstance(x, optax.MaskedNode)
