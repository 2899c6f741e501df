"""The table of `docs/coming_from.md`: whole on Optax's side, its code runs, its words are true."""

from __future__ import annotations

import inspect
import re

import jax.numpy as jnp
import optax
import optax.contrib
import pytest

import lropt_jax
from tests import crossings, guides

HERE = {
    "classes": crossings.measured("Optax", "optax."),
    "made": [row for row in crossings.rows() if row.code],
}


def test_every_optimizer_and_schedule_of_optax_has_its_row() -> None:
    listed = {row.left.split("(")[0] for row in crossings.of("Optax")}
    expected = set()
    for module in (optax, optax.contrib):
        for name, factory in inspect.getmembers(module, inspect.isfunction):
            if "learning_rate" in inspect.signature(factory).parameters and name[0] != "_":
                expected.add(f"{module.__name__}.{name}")
    parts = {"normalize", "differentially_private_aggregate"}  # of sam and of dpsgd
    for name, factory in inspect.getmembers(optax.contrib, inspect.isfunction):
        gives = str(inspect.signature(factory).return_annotation)
        if "GradientTransformation" in gives and not name.startswith("scale_by_"):
            expected |= {f"optax.contrib.{name}"} - {f"optax.contrib.{part}" for part in parts}
    for name, _ in inspect.getmembers(optax.schedules, inspect.isfunction):
        if not name.startswith("inject_"):
            expected.add(f"optax.{name}")
    expected.add("optax.lookahead")
    assert len(expected) > 60
    assert expected - listed == set()


def test_a_row_says_what_is_here_or_why_not() -> None:
    assert len(crossings.rows()) > 150
    for row in crossings.rows():
        assert row.differs, row
        assert row.code or row.here == "no equal" or re.fullmatch(r"(`[\w.]+`(, )?)+", row.here), (
            row
        )
        assert row.here != "no equal" or len(row.differs.split()) >= 6, row


@pytest.mark.parametrize("row", HERE["made"], ids=lambda row: row.left)
def test_the_code_runs_and_its_link_leads_there(row: crossings.Row) -> None:
    first = re.match(r"\w*", row.code)[0]
    if first in lropt_jax.OPTIMIZERS or first in lropt_jax.SCHEDULES:
        assert row.here.endswith(f"](gallery.md#{first})")
    for target in re.findall(r"\]\((\w[\w/]*\.md)", row.here + row.differs):
        assert (guides.DOCS / target).exists()
    if row.code.startswith("fit("):
        task = lropt_jax.classification_task(lropt_jax.mlp((4, 10)), lropt_jax.load_data("digits"))
        more = {"task": task, "tx": lropt_jax.adam(0.01)}
    else:
        params = {"body": jnp.ones(2), "head": jnp.ones(2)}
        tx = lropt_jax.adam(crossings.RATE)
        more = {
            "params": params,
            "average": params,
            "state": tx.init(params),
            "labels": {"body": "body", "head": "head"},
        }
    made = eval(row.code, crossings.names(**more))
    if isinstance(made, optax.GradientTransformation):
        made.init({"body": jnp.ones((2, 2)), "head": jnp.ones((2, 2))})


@pytest.mark.parametrize("row", HERE["classes"], ids=lambda row: row.left)
def test_equal_means_equal_to_optax(row: crossings.Row, x64: None) -> None:
    left = row.left
    if left.startswith(("optax.MultiSteps", "optax.contrib.reduce_on_plateau")):
        pytest.skip("another shape of thing: see the tests of accumulation and plateau")
    theirs = eval(left, crossings.names())
    crossings.check(row, crossings.here(theirs))


def test_the_loops_run() -> None:
    guides.run("coming_from.md", blocks=3, section="A training loop, translated")
