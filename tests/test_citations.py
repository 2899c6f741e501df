"""Every optimizer has a paper, and every entry is BibTeX."""

from __future__ import annotations

import re

import pytest

from lropt_jax import OPTIMIZERS, SCHEDULES, batch_size_from, citation
from lropt_jax.optimizers import citations

# What BibTeX wants of each type, beyond title, author and year.
REQUIRED = {"article": {"journal", "volume"}, "inproceedings": {"booktitle"}, "misc": set()}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_has_an_entry(name):
    for entry in citation(name).split("\n\n"):
        kind = re.fullmatch(r"@(\w+)\{\w+,\n(?:  \w+ = \{.+\},\n)+\}", entry).group(1)
        fields = set(re.findall(r"^  (\w+) =", entry, flags=re.MULTILINE))
        assert fields >= {"title", "author", "year"} | REQUIRED[kind]
        assert entry.count("{") == entry.count("}")


def test_names_exist():
    assert set(citations._entries()) <= set(OPTIMIZERS) | set(SCHEDULES) | {
        "batch_size_from",
        "atlas",
    }
    assert len(set(citation("adamw").split("\n\n"))) == 2


def test_the_docstrings_cite_the_same_numbers():
    """Each arXiv number of an optimizer's or a schedule's entries stands in its docstring too."""
    things = OPTIMIZERS | SCHEDULES | {"batch_size_from": batch_size_from}
    cited = things.keys() & citations._entries().keys()
    assert cited >= {*OPTIMIZERS, "warmup", "cosine_decay"}
    for name in cited:
        for number in re.findall(r"eprint = \{(.+)\}", citation(name)):
            if name == "adamw" and number == "1412.6980":
                continue  # its docstring leaves Adam's paper to adam
            assert number in things[name].__doc__, (name, number)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match=r"no citation for 'adammw'.*adamw"):
        citation("adammw")
