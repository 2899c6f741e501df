"""What is public is documented."""

from __future__ import annotations

import pathlib
import re

import lropt_jax

API = pathlib.Path(__file__).parents[1] / "docs" / "api"


def test_everything_public_is_documented_with_an_example():
    without = []
    for name in dir(lropt_jax):
        thing = getattr(lropt_jax, name)
        if name.startswith("_") or not callable(thing) or isinstance(thing, type):
            continue
        doc = thing.__doc__ or ""
        if ">>>" not in doc:
            without.append(name)
    assert without == []


def test_what_is_loaded_lazily_is_there():
    for name in ("models", "mlp", "cnn", "vgg11", "resnet18", "plot_schedules"):
        assert getattr(lropt_jax, name) is not None


def test_the_gallery_shows_every_schedule_and_every_optimizer():
    shown = re.findall(r"^### (\w+)$", (API.parent / "gallery.md").read_text(), re.M)
    assert shown == [*lropt_jax.OPTIMIZERS, *lropt_jax.SCHEDULES]


def test_the_notebooks_are_pages():
    named = re.findall(r"^notebooks/(\w+)$", (API.parent / "index.md").read_text(), re.M)
    there = [path.stem for path in (API.parents[1] / "notebooks").glob("*.ipynb")]
    assert sorted(named) == sorted(there)


def test_every_public_name_has_its_place_in_the_documentation():
    pages = "".join(path.read_text() for path in API.glob("*.md"))
    documented = set(re.findall(r"^\.\. auto(?:function|class):: (\w+)", pages, re.M))
    named = {
        "OPTIMIZERS",
        "PROBLEMS",
        "SCHEDULES",
        "config",
        "models",
    }  # the tables and a module, on their pages
    assert set(lropt_jax.__all__) - named - documented == set()
    assert documented <= set(lropt_jax.__all__)
