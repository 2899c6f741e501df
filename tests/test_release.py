"""What a release says of itself, in every place where it says it."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tomllib

import lropt_jax

ROOT = pathlib.Path(__file__).parents[1]
VERSION = lropt_jax.__version__


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_version_is_the_same_everywhere():
    cited = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {VERSION}\n" in cited
    (date,) = re.findall(r"^date-released: (.+)$", cited, re.MULTILINE)
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    first = re.search(r"^## (\d.+)$", log, re.MULTILINE)
    assert first is not None
    assert first[1] == f"{VERSION} ({date})"


def test_the_oldest_versions_are_those_of_the_project():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "oldest.py"], capture_output=True, text=True, check=True
    )
    least = dict(line.split("==") for line in done.stdout.split())
    assert {"jax", "jaxlib", "optax", "flax", "equinox", "numpy", "scipy", "pandas"} <= set(least)
    for line in project()["dependencies"]:
        name, version = line.split(">=")
        assert least[name] == version


def test_each_python_that_is_named_is_allowed():
    named = re.findall(r"Python :: 3\.(\d+)", "\n".join(project()["classifiers"]))
    assert [int(minor) for minor in named] == list(range(11, 15))
    assert project()["requires-python"] == ">=3.11"
