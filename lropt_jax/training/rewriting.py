"""A function with some of the operations that it is traced to replaced by others of equal value.

What is traced is walked through, down into the programs that its operations carry along: `jit`,
`checkpoint`, `scan`, `while_loop`, `cond`. What nothing replaces is bound as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core, source_info_util

# The operations that carry programs along and are looked into. A function with a derivative of its
# own (`custom_jvp`, `custom_vjp`) keeps its rule; what the rule does is seen once it has been used.
NESTING = {
    "jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2", "scan", "while",
    "cond", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr",
}  # fmt: skip

# Of an operation, an equation of a jaxpr: what gives its result from its operands, or None.
Replacement = Callable[[Any], Callable[..., Any] | None]


def rewritten(function: Callable[..., Any], replacement: Replacement) -> Callable[..., Any]:
    """`function` with what it is traced to rewritten.

    Args:
      function: a pure function of pytrees of arrays.
      replacement: see `Replacement`.
    """

    def run(*args: Any) -> Any:
        closed, shapes = _traced(function, args)
        walk = _Walk(replacement)
        results = walk.evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def found(
    function: Callable[..., Any],
    replacement: Replacement,
    then: Callable[..., Any],
    otherwise: Callable[..., Any],
) -> Callable[..., Any]:
    """`then` for arguments with which `function` has something to replace, else `otherwise`.

    Args:
      function: a pure function of pytrees of arrays.
      replacement: see `Replacement`.
      then, otherwise: functions of the same arguments.
    """
    known: dict[Any, bool] = {}  # by the types of the arguments

    def run(*args: Any) -> Any:
        leaves, structure = jax.tree.flatten(args)
        types = structure, tuple(map(jax.typeof, leaves))
        if types not in known:
            known[types] = _Walk(replacement).finds(_traced(function, args)[0].jaxpr)
        return (then if known[types] else otherwise)(*args)

    return run


def _traced(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, Any]:
    # A function of its own each time: JAX remembers what it has traced.
    return jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)


class _Walk:
    """One walk through a traced function; each program that it nests is looked at once."""

    def __init__(self, replacement: Replacement):
        self._replacement = replacement
        self._found: dict[int, bool] = {}
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that no identity is used twice

    def finds(self, jaxpr: Any) -> bool:
        """Whether there is anything to replace."""
        if id(jaxpr) not in self._found:
            self._kept.append(jaxpr)
            self._found[id(jaxpr)] = any(
                self._replacement(eqn) is not None
                or any(self.finds(inner) for inner in _programs(eqn))
                for eqn in jaxpr.eqns
            )
        return self._found[id(jaxpr)]

    def evaluate(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """The results of a traced function, its operations replaced."""
        values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            replaced = self._replacement(eqn)
            with _as_written(eqn):
                if replaced is not None:
                    results = [replaced(*operands)]
                else:
                    results = self._bind(eqn, operands)
            values.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _bind(self, eqn: Any, operands: Sequence[Any]) -> Any:
        params = eqn.params
        if any(self.finds(inner) for inner in _programs(eqn)):
            params = {name: self._param(value) for name, value in params.items()}
        bound = eqn.primitive.get_bind_params(params)
        # JAX 0.8 gives nested programs as functions of their own.
        functions, named = bound if isinstance(bound, tuple) else ([], bound)
        results = eqn.primitive.bind(*functions, *operands, **named)
        return results if eqn.primitive.multiple_results else [results]

    def _param(self, value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(map(self._param, value))
        if not isinstance(value, (core.Jaxpr, core.ClosedJaxpr)):
            return value
        if id(value) not in self._made:
            self._kept.append(value)
            self._made[id(value)] = self._program(value)
        return self._made[id(value)]

    def _program(self, given: Any) -> Any:
        """A nested program rewritten, or as it was where it cannot be of the same type."""
        closed = given if isinstance(given, core.ClosedJaxpr) else core.ClosedJaxpr(given, ())
        if not self.finds(closed.jaxpr):
            return given

        def run(*args: Any) -> list[Any]:
            return self.evaluate(closed.jaxpr, closed.consts, args)

        made = jax.make_jaxpr(run)(*map(_shape, closed.in_avals))
        ends = (closed.in_avals, made.in_avals), (closed.out_avals, made.out_avals)
        if any(list(map(_type, old)) != list(map(_type, new)) for old, new in ends):
            return given
        if isinstance(given, core.ClosedJaxpr):
            return made
        return given if made.consts else made.jaxpr


def _programs(eqn: Any) -> list[Any]:
    """The programs, of arrays alone, that an operation carries along."""
    if eqn.primitive.name not in NESTING:
        return []
    parts: list[Any] = []
    for value in eqn.params.values():
        parts += value if type(value) in (tuple, list) else [value]
    jaxprs = [part.jaxpr if isinstance(part, core.ClosedJaxpr) else part for part in parts]
    return [
        jaxpr
        for jaxpr in jaxprs
        if isinstance(jaxpr, core.Jaxpr)
        and all(isinstance(v.aval, jax.core.ShapedArray) for v in jaxpr.invars)
    ]


def _type(aval: Any) -> Any:
    return aval.shape, aval.dtype, aval.weak_type


def _shape(aval: Any) -> Any:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _as_written(eqn: Any) -> Any:
    """In the settings, and under the name, that an operation was traced with."""
    name = source_info_util.current_name_stack() + eqn.source_info.name_stack
    with (
        source_info_util.user_context(eqn.source_info.traceback, name_stack=name),
        getattr(eqn.ctx, "manager", contextlib.nullcontext()),
    ):
        yield
