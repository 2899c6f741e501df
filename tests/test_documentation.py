"""What is public is documented."""

from __future__ import annotations

import inspect
import pathlib
import re

import optax
import pytest

import lropt_jax
from lropt_jax.reproductions import CLAIMS

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


def functions():
    for name in dir(lropt_jax):
        thing = getattr(lropt_jax, name)
        if not name.startswith("_") and callable(thing) and not isinstance(thing, type):
            yield name, inspect.getdoc(thing)


def section(doc, title):
    found = re.search(rf"^{title}:\n((?:  .*\n|\n(?=  ))+)", doc, re.M)
    return " ".join(found[1].split()) if found else ""


@pytest.mark.parametrize(("name", "doc"), list(functions()))
def test_everything_public_says_when_to_use_it_and_what_stands_beside_it(name, doc):
    assert len(section(doc, "When to use").split()) >= 9
    beside = re.findall(r"`([\w.]+)[^`]*`", section(doc, "See also"))
    for other in beside:
        theirs = optax if other.startswith("optax.") else lropt_jax
        plain = other.removeprefix("optax.")
        # Words of code, as `nesterov`, are arguments of something public.
        assert hasattr(theirs, plain) or plain in every_argument(), f"{name}: {other}"
    assert any(hasattr(lropt_jax, other) and other != name for other in beside)


def test_every_public_class_says_what_stands_beside_it():
    things = {name: getattr(lropt_jax, name) for name in lropt_jax.__all__}
    classes = {name for name, thing in things.items() if isinstance(thing, type)}
    assert len(classes) > 10
    for name in classes:
        beside = re.findall(
            r"`([\w.]+)[^`]*`", section(f"{inspect.getdoc(things[name])}\n", "See also")
        )
        assert beside, name
        assert set(beside) - {name} <= set(things), name


@pytest.mark.parametrize("name", [*lropt_jax.OPTIMIZERS, *lropt_jax.SCHEDULES])
def test_an_optimizer_or_a_schedule_says_where_to_start_and_where_it_ends(name):
    words = section(inspect.getdoc(getattr(lropt_jax, name)), "When to use")
    assert re.search(r"\b[Ss]tart (with|from)\b|: start", words)
    assert re.search(r"\b([Nn]ot|must|too|hardly)\b|: a decay cut off", words)


def every_argument():
    things = (getattr(lropt_jax, name) for name in dir(lropt_jax))
    found = {"budget_curve"}
    for thing in things:
        if callable(thing):
            found |= set(inspect.signature(thing).parameters)
    return found


def test_what_is_loaded_lazily_is_there():
    for name in ("models", "mlp", "cnn", "vgg11", "resnet18", "plot_schedules"):
        assert getattr(lropt_jax, name) is not None


def test_the_gallery_shows_every_schedule_and_every_optimizer():
    shown = re.findall(r"^### (\w+)$", (API.parent / "gallery.md").read_text(), re.M)
    assert shown == [*lropt_jax.OPTIMIZERS, *lropt_jax.SCHEDULES]


def test_the_readme_lists_every_optimizer_and_every_schedule():
    text = (API.parents[1] / "README.md").read_text()
    for title, names in (("Optimizers", lropt_jax.OPTIMIZERS), ("Schedules", lropt_jax.SCHEDULES)):
        listed = re.search(rf"^- \*\*{title}\*\*: (.*?)[;.]", text, re.M | re.S)[1]
        assert set(re.findall(r"`(\w+)`", listed)) == set(names)


def test_the_notebooks_are_pages():
    named = re.findall(r"^notebooks/(\w+)$", (API.parent / "index.md").read_text(), re.M)
    there = [path.stem for path in (API.parents[1] / "notebooks").glob("*.ipynb")]
    assert sorted(named) == sorted(there)


def test_the_claims_that_pages_speak_of_are_there():
    root = API.parents[1]
    pages = [root / "README.md", *root.glob("docs/*.md"), *root.glob("notebooks/*.ipynb")]
    named = set()
    for page in pages:
        text = re.sub(r'\\n",\s*"', " ", page.read_text())  # lines of a notebook
        named |= set(re.findall(r"`lropt reproduce\s([a-z]\w+)", text))
    assert named
    assert named <= set(CLAIMS)


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
