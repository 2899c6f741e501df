"""How lanes lie on the machine: side by side on one device, one after another, over several.

On one device lanes run at once by `vmap` or in turn by `map`; over several devices by `shard_map`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import NamedSharding

AXIS = "lanes"
PartitionSpec: Any = jax.sharding.PartitionSpec  # its stub has no types


@dataclasses.dataclass(frozen=True)
class Layout:
    """How lanes lie on the machine.

    Attributes:
      strategy: "vmap" (all of a device's lanes at once), "map" (one after another), "map:k"
        (blocks of k lanes at once, the last one filled up), or "shared" (as "vmap", for lanes
        that see the same batches: each is gathered once). By "map" and "map:k" a lane's bits are
        the same at every width.
      devices: the devices to spread over; the width must be a multiple of their number.
    """

    strategy: str
    devices: tuple[Any, ...]

    @property
    def shares_batches(self) -> bool:
        """Whether all lanes take the batches of the first."""
        return self.strategy == "shared"

    @functools.cached_property
    def lanes(self) -> NamedSharding:
        """Where arrays with a lane axis lie."""
        mesh = jax.make_mesh(
            (len(self.devices),),
            (AXIS,),
            devices=self.devices,
            axis_types=(jax.sharding.AxisType.Auto,),
        )
        return NamedSharding(mesh, PartitionSpec(AXIS))

    @property
    def everywhere(self) -> NamedSharding:
        """Where arrays lie that all lanes share."""
        return NamedSharding(self.lanes.mesh, PartitionSpec())

    def compiled(
        self, function: Any, per_lane: tuple[bool, ...], donate: Any = (), once: bool = False
    ) -> Any:
        """A function of a device's lanes as a program over all devices.

        One that runs `once` is compiled in the shortest time.
        """
        if len(self.devices) > 1:
            specs = tuple(PartitionSpec(AXIS) if p else PartitionSpec() for p in per_lane)
            function = jax.shard_map(
                function,
                mesh=self.lanes.mesh,
                in_specs=specs,
                out_specs=PartitionSpec(AXIS),
                check_vma=False,
            )
        options = _compiler_options(self.devices[0].platform, once)
        return jax.jit(function, donate_argnums=donate, compiler_options=options)

    def each_lane(self, function: Any) -> Any:
        """`function` of one lane as a function of a device's lanes: for what is computed once.

        On a CPU one after another (see `calls_lapack`), else at once.
        """
        if self.devices[0].platform != "cpu":
            return jax.vmap(function)
        return lambda *lanes: jax.lax.map(lambda lane: function(*lane), lanes)

    def over_lanes(self, function: Any, per_lane: tuple[bool, ...]) -> Any:
        """`function` of one lane as a function of a device's lanes, by the strategy.

        Its last argument is a number of rounds, one a lane: lanes that run at once all make as
        many as the one that needs most, so that a block without work takes no time.
        """

        def over(*arguments: Any) -> Any:
            def block(lanes: list[Any]) -> Any:
                own = iter(lanes)
                given = [next(own) if p else a for a, p in zip(arguments, per_lane, strict=True)]
                axes = [0 if p else None for p in per_lane]
                given[-1], axes[-1] = jax.numpy.max(given[-1]), None
                if len(jax.tree.leaves(lanes)[0]) > 1:
                    return jax.vmap(function, in_axes=axes)(*given)
                alone = [
                    a if axis is None else jax.tree.map(lambda x: x[0], a)
                    for a, axis in zip(given, axes, strict=True)
                ]
                return jax.tree.map(lambda x: x[None], function(*alone))

            mapped = [a for a, p in zip(arguments, per_lane, strict=True) if p]
            width = len(jax.tree.leaves(mapped)[0])
            size = self._at_once(width)
            if size > 1 and self.devices[0].platform == "cpu":
                one = [
                    jax.tree.map(_of_one_lane, a) if p else a
                    for a, p in zip(arguments, per_lane, strict=True)
                ]
                size = 1 if calls_lapack(function, *one) else size
            if size == width:
                return block(mapped)
            # Blocks are always whole, so that a lane's bits do not depend on how many there are.
            filled = np.minimum(np.arange(-(-width // size) * size), width - 1)
            if len(filled) > width:
                mapped = jax.tree.map(lambda x: x[filled], mapped)
            blocks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), mapped)
            done = jax.lax.map(block, blocks)
            return jax.tree.map(lambda x: x.reshape(len(filled), *x.shape[2:])[:width], done)

        return over

    def resting(self, function: Any) -> Any:
        """`function` of one lane with a last argument more, a number of rounds (see `over_lanes`).

        Its result is 0, and takes no time, where that is 0 in a block that runs in turn. A block
        that is all of a device's lanes always has work, and XLA:CPU is slower in a conditional.
        """

        def run(*arguments: Any) -> Any:
            *given, rounds = arguments
            if self._all_at_once:
                return function(*given)
            shapes = jax.eval_shape(function, *given)
            # Not NaN, which would stop a user who hunts for theirs (JAX_DEBUG_NANS).
            nothing = jax.tree.map(lambda s: jax.numpy.zeros(s.shape, s.dtype), shapes)
            return jax.lax.cond(rounds > 0, lambda: function(*given), lambda: nothing)

        return run

    @property
    def _all_at_once(self) -> bool:
        return self.strategy in ("vmap", "shared")

    def _at_once(self, width: int) -> int:
        """The lanes of a block, of so many on a device."""
        if self._all_at_once:
            return width
        return int(self.strategy.partition(":")[2] or 1)


# Primitives that XLA:CPU hands to LAPACK.
LAPACK = {
    *("cholesky", "cholesky_update", "eig", "eigh", "geqp3", "geqrf", "hessenberg"),
    *("householder_product", "lu", "ormqr", "qr", "schur", "svd", "symmetric_product"),
    *("triangular_solve", "tridiagonal", "tridiagonal_solve"),
}


def calls_lapack(function: Any, *arguments: Any) -> bool:
    """Whether a function decomposes a matrix or solves with one.

    Several batched calls of LAPACK in one program wait for each other for ever on a CPU: each
    spreads its matrices over the threads, and holds one of them. So lanes that do it run in turn.
    """

    def found(jaxpr: Any) -> bool:
        inner = [x for e in jaxpr.eqns for x in jax.tree.leaves(e.params, is_leaf=_is_program)]
        return any(e.primitive.name in LAPACK for e in jaxpr.eqns) or any(
            found(x) for x in inner if _is_program(x)
        )

    return found(jax.make_jaxpr(function)(*arguments))


def _is_program(x: Any) -> bool:
    return isinstance(x, (Jaxpr, ClosedJaxpr))


def _of_one_lane(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)  # type: ignore[no-untyped-call]


def jit_once(function: Any) -> Any:
    """`jax.jit` for what is called once or a few times: compiled in the shortest time."""
    return jax.jit(function, compiler_options=_compiler_options(jax.default_backend(), True))


@functools.cache
def _compiler_options(platform: str, once: bool) -> dict[str, Any] | None:
    """Options for programs of lanes, where the compiler knows them.

    XLA:CPU makes vectors of 256 bits where the machine has 512 unless it is told, and at its usual
    level it unrolls the loops of random numbers for seconds, which a program that draws weights
    once never earns back; at level 1 the numbers are the same. The environment variable `XLA_FLAGS`
    has the last word.
    """
    wanted: dict[str, Any] = {"xla_cpu_prefer_vector_width": 512}
    if once:
        wanted["xla_backend_optimization_level"] = 1
    told = os.environ.get("XLA_FLAGS", "")
    if platform != "cpu":
        return None
    return {k: v for k, v in wanted.items() if k not in told and _is_known(k, v)} or None


@functools.cache
def _is_known(option: str, value: Any) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except jax.errors.JaxRuntimeError:  # another jaxlib
        return False
    return True
