"""From a plain formula to a constructor of schedules: one decorator."""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

from lropt_jax.schedules.arguments import allowed_arguments, bound_arguments
from lropt_jax.schedules.base import Recipe, Schedule
from lropt_jax.validation import is_number, requirements

P = ParamSpec("P")
Formula = Callable[Concatenate[Any, P], Any]
Reaction = Callable[Concatenate[Any, Any, P], Any]
Seen = Callable[..., Mapping[str, Any]]
Constructor = Callable[P, Schedule]

# The types of the decorators stand in comments, where mypy and Pyright read them. jedi would
# believe them too, but knows no Concatenate, and show the count as an argument; a comment before
# them hides them from it. So it reads the bodies, and knows what a partial takes away.


def schedule(formula):
    # As above:
    # type: (Formula[P]) -> Constructor[P]
    r"""Turns a formula `f(count, **numbers)` into a constructor of `Schedule`s.

    The formula's first argument is the count of updates taken so far, already cast to the
    default float type, as are the numbers (annotated as `Steps`, the count and whole numbers of
    steps are ints, exact beyond 2^24): write the equation, with `jnp.where` in place of
    `if`. Strings and bools are static; everything else is data and may be a tracer. An argument
    that is itself a schedule arrives as one, a sequence as a tuple.

    When to use:
      For a schedule that is not here. Start with the formula of `cosine_decay` in the source.
      It must be a pure function of count and numbers: for one that reacts to values there is
      `feedback_schedule`.

    Args:
      formula: a function of `count` and named numbers. An argument annotated with `Positive`,
        `NonNegative`, ... (`lropt_jax.validation`), `bool`, `Literal["a", "b"]` or
        `tuple[Finite, ...]` is checked; a number without an annotation must be finite. For
        conditions between arguments there is `lropt_jax.validation.requires`.

    Returns:
      A function of the same arguments, without the count, that returns a `Schedule`.

    Raises:
      TypeError: for a formula that is no function, or whose numbers have no names.
      ValueError: (the function) for a concrete number that its annotation does not allow.

    See also:
      `feedback_schedule`, `sequence`, `plot_schedules`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lropt_jax import schedule
      >>> @schedule
      ... def halving(count, init_value, every=10):
      ...     return init_value * 0.5 ** jnp.floor_divide(count, every)
      >>> halving(0.8, every=5)
      halving(init_value=0.8, every=5)
      >>> float(halving(0.8, every=5)(10))
      0.2...
    """
    if formula is schedule:  # never: what jedi reads
        return functools.partial(formula, None)  # type: ignore[arg-type, return-value]
    constructor: Any = _constructor(formula)
    return constructor  # type: ignore[no-any-return]


def feedback_schedule(start, observe):
    # As above:
    # type: (Seen, Seen) -> Callable[[Reaction[P]], Constructor[P]]
    """`schedule` for a formula `f(count, state, **numbers)` that reacts to observed values.

    When to use:
      For a schedule that reacts to what it observes. Start from `reduce_on_plateau`'s source.
      Its state is numbers of fixed shapes: no lists of past values.

    Args:
      start: the state before any observation, `start(**arguments) -> dict` of numbers, by names
        that no argument has.
      observe: `observe(state, value, **arguments) -> state`, with the same keys and shapes.

    Raises:
      ValueError: (when it observes) for a state of other keys or shapes than `start` gave; (the
        constructor) for a part of it that has an argument's name.
      TypeError: (the constructor) for a state that is no dict of numbers.

    See also:
      `schedule`, `observe`, `reduce_on_plateau`.

    Example:
      A bold driver: the rate is halved whenever the loss has risen.

      >>> import jax.numpy as jnp
      >>> from lropt_jax import feedback_schedule
      >>> def start(init_value):
      ...     return {"rate": init_value, "last": jnp.inf}
      >>> def observe(state, loss, init_value):
      ...     cut = jnp.where(loss > state["last"], 0.5, 1.0)
      ...     return {"rate": cut * state["rate"], "last": loss}
      >>> @feedback_schedule(start, observe)
      ... def bold_driver(count, state, init_value):
      ...     return state["rate"]
      >>> s = bold_driver(0.25)
      >>> for loss in (1.0, 0.8, 0.9):
      ...     s = s.observe(loss)
      >>> float(s(3))
      0.125
    """

    def decorate(formula):
        # As above:
        # type: (Reaction[P]) -> Constructor[P]
        if formula is feedback_schedule:  # never: what jedi reads
            return functools.partial(formula, None, None)  # type: ignore[arg-type, return-value]
        constructor: Any = _constructor(formula, start, observe)
        return constructor  # type: ignore[no-any-return]

    return decorate


_NAMELESS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def _begun(name: str, state: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state before any observation, checked: it is saved beside the arguments."""
    if not isinstance(state, Mapping) or not all(map(is_number, state.values())):
        raise TypeError(
            f"{name}: start must return a dict of numbers (0.0 and 1.0 for no and yes), got "
            f"{state!r}"
        )
    for twice in set(state) & set(arguments):
        raise ValueError(
            f"{name}: start must give the state names of its own, got {twice!r}, an argument's"
        )
    return state


def _constructor(
    formula: Callable[..., Any],
    start: Callable[..., Mapping[str, Any]] | None = None,
    observe: Callable[..., Mapping[str, Any]] | None = None,
) -> Any:
    if not callable(formula):
        raise TypeError(f"a formula must be a function of count and named numbers, got {formula!r}")
    for what, function in (("start", start), ("observe", observe)):
        if not (function is None or callable(function)):
            raise TypeError(f"feedback_schedule: {what} must be a function, got {function!r}")
    name = getattr(formula, "__name__", type(formula).__name__)  # a partial has none
    hidden = 1 if observe is None else 2  # count, and the state of one that observes
    signature = inspect.signature(formula)
    parameters = list(signature.parameters.values())[hidden:]
    for parameter in parameters:
        if parameter.kind in _NAMELESS:
            raise TypeError(f"{name}: a formula's numbers need names, got {parameter}")
    signature = signature.replace(parameters=parameters, return_annotation=Schedule)
    allowed = allowed_arguments(formula, parameters)

    @functools.wraps(formula)
    def construct(*args: Any, **kwargs: Any) -> Schedule:
        given = bound_arguments(name, signature, args, kwargs)
        arguments = {k: allowed[k].accept(f"{name}: {k}", v) for k, v in given.items()}
        for check in requirements(formula):
            check(**arguments)
        static = tuple((k, v) for k, v in arguments.items() if isinstance(v, (bool, str)))
        data = {k: v for k, v in arguments.items() if not isinstance(v, (bool, str))}
        state = {} if start is None else _begun(name, start(**arguments), arguments)
        return Schedule(construct, data, static, state)

    construct.__name__ = name
    construct.__signature__ = signature  # type: ignore[attr-defined]
    counting = frozenset(k for k, kind in allowed.items() if kind.constraint.counts)
    first = allowed_arguments(formula, list(inspect.signature(formula).parameters.values())[:1])
    exact = any(kind.constraint.counts for kind in first.values())
    construct.recipe = Recipe(  # type: ignore[attr-defined]
        formula, tuple(signature.parameters), counting, exact, start, observe
    )
    construct.uid = uuid.uuid4().hex  # type: ignore[attr-defined]
    del construct.__wrapped__  # the signature above is the public one
    return construct
