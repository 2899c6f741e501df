"""Every optimizer has a paper, and every entry is BibTeX."""

from __future__ import annotations

import re

import pytest

from lropt_jax import OPTIMIZERS, SCHEDULES, citation
from lropt_jax.optimizers import citations


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_has_an_entry(name):
    for entry in citation(name).split("\n\n"):
        assert re.fullmatch(r"@misc\{\w+,\n(  \w+ = \{.+\},\n)+\}", entry)
        assert entry.count("{") == entry.count("}")


def test_names_and_keys_exist():
    assert set(citations._CITED) <= set(OPTIMIZERS) | set(SCHEDULES) | {"batch_size_from"}
    used = {key for keys in citations._CITED.values() for key in keys}
    assert used == set(citations._WORKS)


def test_the_docstrings_cite_the_same_numbers():
    """Each arXiv number of an optimizer's entries stands in its docstring too."""
    for name, factory in OPTIMIZERS.items():
        for number in re.findall(r"eprint = \{(.+)\}", citation(name)):
            if name == "adamw" and number == "1412.6980":
                continue  # its docstring leaves Adam's paper to adam
            assert number in factory.__doc__, (name, number)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match=r"no citation for 'adammw'.*adamw"):
        citation("adammw")
