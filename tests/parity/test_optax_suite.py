"""Optax's own generic tests, which its wheel ships, run on our optimizers.

Its list of optimizers is replaced before the module is executed, and its look-up by ours.
"""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import types

import jax
import pytest

import lropt_jax

for package in ("optax", "sklearn", "scipy", "absl"):
    pytest.importorskip(package)

SPEC = importlib.util.find_spec("optax._src.alias_test")
if SPEC is None or SPEC.origin is None:
    pytest.skip("this Optax ships no tests", allow_module_level=True)

# Rates at which 10,000 steps solve its parabola and its Rosenbrock valley.
OURS = [
    {"opt_name": name, "opt_kwargs": {"learning_rate": rate, **more}}
    for name, rate, more in [
        ("adabelief", 1e-2, {}),
        ("adadelta", 0.1, {}),
        ("adagrad", 1.0, {}),
        ("adam", 1e-1, {}),
        ("adamax", 1e-1, {}),
        ("adamw", 1e-1, {"weight_decay": 1e-4}),
        ("amsgrad", 1e-1, {}),
        ("lamb", 1e-3, {}),
        ("lars", 1.0, {}),
        ("local_gains", 1e-4, {"max_gain": 10.0, "momentum": 0.9}),
        ("nadam", 1e-2, {}),
        ("nadamw", 1e-2, {"weight_decay": 1e-4}),
        ("qhadam", 1e-2, {}),
        ("qhadamw", 1e-2, {"weight_decay": 1e-4}),
        ("qhm", 2e-3, {"momentum": 0.9}),
        ("rmsprop", 5e-3, {}),
        ("rmsprop", 5e-3, {"momentum": 0.9}),
        ("rprop", 1e-1, {}),
        ("sgd", 1e-3, {"momentum": 0.9}),
        ("sgdw", 1e-3, {}),
        ("swats", 1e-1, {"switch_rtol": 1e-4}),
    ]
]


class _Bare(ast.NodeTransformer):
    """Under inject_hyperparams Optax keeps the numbers: the rest of the state is what is equal."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if ast.unparse(node) == "optax.tree.unwrap_random_key_data(new_state)":
            node.args = [ast.parse("new_state.inner_state", mode="eval").body]
        return self.generic_visit(node)


def _suite() -> types.ModuleType:
    source = pathlib.Path(SPEC.origin).read_text()
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_OPTIMIZERS_UNDER_TEST":
            node.value = ast.parse(repr(tuple(OURS)), mode="eval").body
    tree = _Bare().visit(tree)
    module = types.ModuleType("optax_alias_test")
    exec(compile(ast.fix_missing_locations(tree), SPEC.origin, "exec"), module.__dict__)
    module._get_opt = lambda _, name: getattr(lropt_jax, name)
    return module


GENERIC = {
    "test_optimization",
    "test_optimizers_accept_extra_args",
    "test_optimizers_can_be_wrapped_in_inject_hyperparams",
    "test_preserve_dtype",
    "test_state_shape_dtype_shard_stability",
    "test_gradient_accumulation",
}


def _cases() -> list[tuple[type, str]]:
    suite = _suite().AliasTest
    suite.__name__ = "OptaxSuite"  # not collected by itself
    names = [n for n in dir(suite) if n.startswith("test_")]
    return [(suite, n) for n in names if any(n.startswith(g) for g in GENERIC)]


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(c, id=c[1]) for c in _cases()])
def test_optax(case: tuple[type, str]) -> None:
    suite, name = case
    before = jax.config.jax_numpy_rank_promotion
    jax.config.update("jax_numpy_rank_promotion", "allow")  # its objectives promote
    try:
        test = suite(name)
        result = test.defaultTestResult()
        test.run(result)
    finally:
        jax.config.update("jax_numpy_rank_promotion", before)
    problems = result.errors + result.failures
    assert not problems, problems[0][1]
    if result.skipped:
        pytest.skip(result.skipped[0][1])
