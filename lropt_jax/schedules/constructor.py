"""From a plain formula to a constructor of schedules: one decorator."""

from __future__ import annotations

import functools
import inspect
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, overload

from lropt_jax.schedules.arguments import allowed_arguments
from lropt_jax.schedules.base import Recipe, Schedule

P = ParamSpec("P")

# Two ways to be read. Type checkers take every variable called TYPE_CHECKING as true, and know a
# ParamSpec. jedi, which completes in editors, knows none: it believes the value, follows the code
# that runs, takes typing's own as true, and shows a partial without the arguments it has.
TYPE_CHECKING = False

if TYPE_CHECKING:

    @overload
    def schedule(formula: Callable[Concatenate[Any, P], Any], /) -> Callable[P, Schedule]: ...
    @overload
    def schedule(
        *, check: Callable[..., None] | None = None
    ) -> Callable[[Callable[Concatenate[Any, P], Any]], Callable[P, Schedule]]: ...
    def schedule(
        formula: Callable[..., Any] | None = None, /, *, check: Callable[..., None] | None = None
    ) -> Any: ...

    def feedback_schedule(
        start: Callable[..., Mapping[str, Any]],
        observe: Callable[..., Mapping[str, Any]],
        check: Callable[..., None] | None = None,
    ) -> Callable[[Callable[Concatenate[Any, Any, P], Any]], Callable[P, Schedule]]: ...

else:

    def schedule(formula=None, /, *, check=None):
        r"""Turns a formula `f(count, **numbers)` into a constructor of `Schedule`s.

        The formula's first argument is the count of updates taken so far, already cast to the
        default float type, as are the numbers: write the equation, with `jnp.where` in place of
        `if`. Strings and bools are static; everything else is data and may be a tracer. An argument
        that is itself a schedule arrives as one, a sequence as a tuple.

        Args:
          formula: a function of `count` and named numbers. An argument annotated with `Positive`,
            `NonNegative`, ... (`lropt_jax.validation`), `bool`, `Literal["a", "b"]` or
            `tuple[Finite, ...]` is checked; a number without an annotation must be finite.
          check: called with all arguments, for conditions between them; raises `ValueError`.

        Returns:
          A function of the same arguments, without the count, that returns a `Schedule`.

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
        if not formula:
            return functools.partial(schedule, check=check)
        public = functools.partial(formula, None)
        if typing.TYPE_CHECKING:
            return public
        return _constructor(formula, public, check)

    def feedback_schedule(start, observe, check=None):
        """`schedule` for a formula `f(count, state, **numbers)` that reacts to observed values.

        Args:
          start: the state before any observation, `start(**arguments) -> dict` of numbers.
          observe: `observe(state, value, **arguments) -> state`, with the same keys and shapes.
          check: as in `schedule`.

        Example:
          >>> from lropt_jax import feedback_schedule
          >>> @feedback_schedule(
          ...     start=lambda init_value: {"best": init_value},
          ...     observe=lambda state, value, init_value: {"best": value},
          ... )
          ... def last_seen(count, state, init_value):
          ...     return state["best"]
          >>> float(last_seen(1.0).observe(0.5)(0))
          0.5
        """

        def constructor(formula):
            public = functools.partial(formula, None, None)
            if typing.TYPE_CHECKING:
                return public
            return _constructor(formula, public, check, start, observe)

        return constructor


def _constructor(
    formula: Callable[..., Any],
    public: Callable[..., Any],
    check: Callable[..., None] | None = None,
    start: Callable[..., Mapping[str, Any]] | None = None,
    observe: Callable[..., Mapping[str, Any]] | None = None,
) -> Any:
    """A constructor; `public` is the formula without the arguments that are not its caller's."""
    name = formula.__name__
    signature = inspect.signature(public).replace(return_annotation=Schedule)
    allowed = allowed_arguments(formula, list(signature.parameters.values()))

    @functools.wraps(formula)
    def construct(*args: Any, **kwargs: Any) -> Schedule:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        arguments = {k: allowed[k].accept(f"{name}: {k}", v) for k, v in bound.arguments.items()}
        if check is not None:
            check(**arguments)
        static = tuple((k, v) for k, v in arguments.items() if isinstance(v, (bool, str)))
        data = {k: v for k, v in arguments.items() if not isinstance(v, (bool, str))}
        return Schedule(construct, data, static, {} if start is None else start(**arguments))

    construct.__signature__ = signature  # type: ignore[attr-defined]
    construct.recipe = Recipe(formula, tuple(signature.parameters), start, observe)  # type: ignore[attr-defined]
    construct.uid = uuid.uuid4().hex  # type: ignore[attr-defined]
    del construct.__wrapped__  # the signature above is the public one
    return construct
