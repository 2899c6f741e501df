"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import jax
import pytest

import lropt_jax

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lropt_jax.__path__, "lropt_jax.")
    if not module.name.startswith("lropt_jax.commands")
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    # Examples are written for a user, whose session has no strict ranks.
    with jax.numpy_rank_promotion("allow"):
        finder = doctest.DocTestFinder(exclude_empty=True)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        for test in finder.find(module, name):
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
