"""What is public is documented."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pathlib
import re
import runpy
import types

import jax.numpy as jnp
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


CLASSES = {
    name: getattr(lropt_jax, name)
    for name in lropt_jax.__all__
    if isinstance(getattr(lropt_jax, name), type)
}


def methods():
    """The public methods and properties that the public classes have of this package."""
    for name, cls in CLASSES.items():
        for attribute in dir(cls):
            thing = inspect.getattr_static(cls, attribute)
            function = getattr(thing, "__func__", None) or getattr(thing, "fget", None)
            function = function or getattr(thing, "func", thing)
            hidden = attribute.startswith(("_", "tree_"))  # what JAX calls is not for people
            if isinstance(function, types.FunctionType) and not hidden:
                yield f"{name}.{attribute}", function


def described(doc):
    """The names that the Args or the Attributes of a docstring describe."""
    found = set()
    for title in ("Args", "Attributes"):
        part = re.search(rf"^{title}:\n((?:  .*\n|\n(?=  ))+)", f"{doc}\n", re.M)
        for names in re.findall(r"^  ([*\w]+(?:, [*\w]+)*):", part[1] if part else "", re.M):
            found |= {name.strip("*") for name in names.split(", ")}
    return found


def mentioned(doc):
    """The words in backticks."""
    return {word for code in re.findall(r"`([^`]+)`", doc) for word in re.findall(r"\w+", code)}


@pytest.mark.parametrize(("name", "doc"), list(functions()))
def test_every_argument_of_a_function_is_described(name, doc):
    arguments = inspect.signature(getattr(lropt_jax, name)).parameters
    assert set(arguments) - described(doc) == set()


@pytest.mark.parametrize(("name", "function"), list(methods()))
def test_every_method_says_what_it_is_and_speaks_of_every_argument(name, function):
    doc = inspect.getdoc(function)
    assert doc
    arguments = set(inspect.signature(function).parameters) - {"self", "cls"}
    assert arguments - described(doc) - mentioned(doc) == set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_of_a_public_class_is_described_and_an_example_uses_it(name):
    cls = CLASSES[name]
    doc = inspect.getdoc(cls)
    inherited = described(inspect.getdoc(cls.__mro__[1]) or "")
    fields = getattr(cls, "_fields", ())
    if dataclasses.is_dataclass(cls):
        fields = [field.name for field in dataclasses.fields(cls)]
    assert set(fields) - described(doc) - inherited - mentioned(doc) == set()
    assert ">>>" in section(f"{doc}\n", "Example")
    # Of two names in one line, Sphinx takes the first as the type of the second.
    assert not re.search(r"^Attributes:\n(?:  .*\n)*?  \w+, ", doc, re.M)


def test_what_a_public_class_inherits_is_on_its_page():
    """`SweepResult.best` is of a class that nobody sees."""
    pages = "".join(path.read_text() for path in API.glob("*.md"))
    for name, cls in CLASSES.items():
        above = {n.removeprefix(f"{name}.") for n, _ in methods() if n.startswith(f"{name}.")}
        above -= {n for base in cls.__mro__ if base.__name__ in CLASSES for n in vars(base)}
        options = re.search(rf"^\.\. autoclass:: {name}\n((?:   :.*\n)*)", pages, re.M)[1]
        assert not above or ":inherited-members:" in options, (name, above)


def test_a_property_is_shown_on_the_site_as_it_is_written():
    napoleon = pytest.importorskip("sphinx.ext.napoleon")
    site = runpy.run_path(str(API.parent / "conf.py"))
    for name, function in methods():
        lines = inspect.getdoc(function).split("\n")
        about = (None, "property", name, function, None)
        site["_of_markdown"](*about, lines)
        lines = str(napoleon.GoogleDocstring(lines, what="property", name=name)).split("\n")
        site["_after_napoleon"](*about, lines)
        # "What to doubt: ..." would be of the type "What to doubt".
        assert not any(line.startswith(":type:") for line in lines), name
        assert site["COLON"] not in "".join(lines)


def test_every_example_runs_at_least_in_part():
    """One that is skipped as a whole may be about anything."""
    skipped = []
    for name, thing in [*functions(), *((n, inspect.getdoc(c)) for n, c in CLASSES.items())]:
        lines = [line for line in thing.split("\n") if line.lstrip().startswith(">>> ")]
        if lines and all("+SKIP" in line for line in lines if "import" not in line):
            skipped.append(name)
    assert skipped == []


def raised(function):
    """The exceptions that a function's own lines raise."""
    source = inspect.getsource(inspect.unwrap(function))
    return set(re.findall(r"^\s+raise (\w+Error)\(", source, re.M))


@pytest.mark.parametrize(
    ("name", "function"),
    [(name, getattr(lropt_jax, name)) for name, _ in functions()] + list(methods()),
)
def test_what_a_function_raises_it_says(name, function):
    doc = inspect.getdoc(function)
    for error in raised(function):
        assert error in section(f"{doc}\n", "Raises"), error


@pytest.mark.parametrize("name", lropt_jax.OPTIMIZERS)
def test_an_example_of_an_optimizer_trains_something(name):
    example = section(f"{inspect.getdoc(getattr(lropt_jax, name))}\n", "Example")
    assert re.search(r"\bfit\(|apply_updates\(", example)


@pytest.mark.parametrize("name", lropt_jax.OPTIMIZERS)
def test_a_default_of_an_optimizer_is_somebodys(name):
    doc = inspect.getdoc(getattr(lropt_jax, name))
    arguments = section(f"{doc}\n", "Args")
    for argument, about in inspect.signature(getattr(lropt_jax, name)).parameters.items():
        if isinstance(about.default, float) and about.default not in (0, float("inf")):
            words = re.search(rf"\b{argument}: (.*?)(?= \w+: |$)", arguments)[1]
            whose = r"default|rule of thumb|lecture|paper|usual"
            assert re.search(whose, words), (argument, words)


TRANSFORMATIONS = [name for name in dir(lropt_jax) if name.startswith("scale_by_")]


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_transformation_says_what_stands_after_it_in_a_chain(name):
    """And it is so: whoever believes a wrong word on the sign climbs."""
    make = getattr(lropt_jax, name)
    doc = inspect.getdoc(make)
    assert "optax.chain(" in section(f"{doc}\n", "Example")
    needed = [p for p in inspect.signature(make).parameters.values() if p.default is p.empty]
    tx = make(*(0.1 for _ in needed))
    params = jnp.array([1.0, -2.0])
    step, _ = tx.update(params, tx.init(params), params)
    words = section(doc, "When to use")
    descends = "learning rate and sign included" in words
    assert descends or "neither descends" in words or "optax.scale(-1.0)" in words
    assert bool((step * params < 0).all()) == descends
    assert bool((step * params > 0).all()) != descends


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
    named = re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", (API.parent / "notebooks.md").read_text())
    there = [path.stem for path in (API.parents[1] / "notebooks").glob("*.ipynb")]
    assert sorted(named) == sorted(there)


def test_the_claims_that_pages_speak_of_are_there():
    root = API.parents[1]
    pages = [root / "README.md", *root.glob("docs/*.md"), *root.glob("notebooks/*.ipynb")]
    pages += root.glob("lropt_jax/*/*.py")
    named = set()
    for page in pages:
        text = re.sub(r'\\n",\s*"', " ", page.read_text())  # lines of a notebook
        named |= set(re.findall(r"`lropt reproduce\s([a-z]\w+)", text))
    assert named
    assert named <= set(CLAIMS)


def test_a_verdict_that_a_page_names_is_the_one_that_was_found():
    root = API.parents[1]
    found = json.loads((root / "docs/reproductions/reproductions.json").read_text())
    verdicts = {claim["name"]: claim["verdict"] for claim in found}
    named = []
    for page in (root / "README.md", *root.glob("docs/*.md"), root / "docs/atlas/index.md"):
        text = " ".join(page.read_text().split())
        for words, name, cell in re.findall(
            r"\[([^]]+)\]\([\w./]*reproductions/(\w+)/index\.md\)(?: \| ([\w ]+) \|)?", text
        ):
            named += [(name, said) for said in (words, cell) if said in verdicts.values()]
    assert len(named) > 15
    assert [(name, said) for name, said in named if verdicts[name] != said] == []


def test_every_public_name_has_its_place_in_the_documentation():
    pages = "".join(path.read_text() for path in API.glob("*.md"))
    documented = set(re.findall(r"^\.\. (?:autofunction|autoclass|data):: (\w+)", pages, re.M))
    assert set(lropt_jax.__all__) == documented
