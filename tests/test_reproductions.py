"""Every claim by being registered: its words, its data, its verdict, its page."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import re

import numpy as np
import pytest

from lropt_jax import cli, reproduce
from lropt_jax.reproductions import CLAIMS
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.catalogue import claim_named
from lropt_jax.reproductions.claim import Judgement, Verdict
from lropt_jax.reproductions.durations import SECONDS
from lropt_jax.reproductions.pages import write_pages

PUBLISHED = pathlib.Path(__file__).parents[1] / "docs" / "reproductions"
EXACT = [name for name in CLAIMS if claim_named(name).kind == "exact"]
WORDS = [f.name for f in dataclasses.fields(claim_named(EXACT[0])) if f.type == "str"]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_all_that_it_must(name):
    claim = claim_named(name)
    assert claim.name == name
    for word in WORDS:
        assert getattr(claim, word).strip(), f"{name}: {word} is empty"
    assert "arXiv:" in claim.source
    assert datetime.date.fromisoformat(claim.frozen)
    assert set(claim.sentences) == {"reproduced", "not reproduced", "undecided"}
    assert claim.kind == "exact" or claim.seeds >= 5


@pytest.mark.parametrize("name", CLAIMS)
def test_a_plan_says_how_long_the_published_run_took(name):
    kept = PUBLISHED / name / "data.json"
    if kept.exists():
        assert SECONDS[name] == round(json.loads(kept.read_text())["seconds"])
    else:
        assert name not in SECONDS


# Those that take many minutes are tried at a smaller size, below.
@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in EXACT if n not in ("heavy_tails", "rotation")])
def test_exact_claims_hold(name, tmp_path):
    verdict = reproduce(name, output=tmp_path, progress=False)
    assert verdict.holds is True, verdict.measured
    kept = json.loads((tmp_path / name / "data.json").read_text())
    assert kept["frozen"] == verdict.claim.frozen
    again = reproduce(name, output=tmp_path, progress=False)  # read back, judged from the data
    assert again.row() == verdict.row()
    page = write_pages([verdict], tmp_path).read_text()
    assert verdict.claim.title in page
    for file in ("index.html", "index.md", "figure.svg"):
        assert (tmp_path / name / file).stat().st_size > 500


def test_rotation_at_a_smaller_size(monkeypatch):
    from lropt_jax.reproductions.exact import rotation

    monkeypatch.setattr(rotation, "PRODUCTS", np.array([1e-3, 3e-3]))
    monkeypatch.setattr(rotation, "SEEDS", 8)
    data = rotation.CLAIM.measure(Bench())
    assert len(data["rows"]) == 4
    found = rotation.CLAIM.judge(data)
    assert found.holds, found.measured
    for row in data["rows"]:  # a rate or a decay twice as large turns by another angle
        row["angle"] = row["angle"] * 2**0.5
    assert not rotation.CLAIM.judge(data).holds


def test_heavy_tails_at_a_smaller_size(monkeypatch):
    from lropt_jax.reproductions.exact import heavy_tails

    monkeypatch.setattr(heavy_tails, "M", 4)
    monkeypatch.setattr(heavy_tails, "DATA_SEEDS", (1,))
    monkeypatch.setattr(heavy_tails, "STEPS", 300)
    monkeypatch.setattr(heavy_tails, "ONE_HOT_STEPS", 2**17)
    data = heavy_tails.CLAIM.measure(Bench())
    found = heavy_tails.CLAIM.judge(data)
    assert len(data["runs"]) == 2 * 16
    (row,) = found.table
    assert float(row["rarest / commonest loss, GD"]) > 1.3 * float(row["Adam"])
    assert -1.05 < heavy_tails._one_hot_slope(data) < -0.95


def _fake(**changes):
    claim = claim_named(EXACT[0])
    defaults = {
        "kind": "statistical",
        "seeds": 20,
        "measure": lambda bench: {"seeds": bench.seeds(20)},
        "judge": lambda data: Judgement(True, f"{data['seeds']} seeds", [{"a": 1}]),
        "figure": None,
    }
    return dataclasses.replace(claim, **{**defaults, **changes})


def test_a_quick_run_of_a_statistical_claim_decides_nothing(monkeypatch, tmp_path):
    fake = _fake()
    monkeypatch.setattr("lropt_jax.reproductions.running.claim_named", lambda name: fake)
    quick = reproduce("x", quick=True, output=tmp_path)
    assert (quick.verdict, quick.holds, quick.measured) == ("undecided", None, "5 seeds")
    assert "quick" in quick.sentence
    whole = reproduce("x", output=tmp_path)
    assert (whole.verdict, whole.holds, whole.measured) == ("reproduced", True, "20 seeds")


def test_an_interval_that_straddles_is_undecided():
    fake = _fake(judge=lambda data: Judgement(None, "between", [{"a": 1}]))
    verdict = Verdict.of(fake, {}, False, 1.0, {})
    assert (verdict.verdict, verdict.holds) == ("undecided", None)


def test_data_of_another_criterion_are_not_taken(monkeypatch, tmp_path):
    ran = []
    fake = _fake(measure=lambda bench: ran.append(1) or {"seeds": 20})
    monkeypatch.setattr("lropt_jax.reproductions.running.claim_named", lambda name: fake)
    reproduce("x", output=tmp_path)
    reproduce("x", output=tmp_path)
    assert len(ran) == 1
    later = dataclasses.replace(fake, frozen="2031-01-01")
    monkeypatch.setattr("lropt_jax.reproductions.running.claim_named", lambda name: later)
    reproduce("x", output=tmp_path)
    assert len(ran) == 2


def test_unknown_claims_are_refused_before_any_runs(tmp_path, capsys):
    with pytest.raises(ValueError, match="did you mean 'wilson'"):
        reproduce("wilsen")
    assert cli.main(["reproduce", EXACT[0], "wilsen", "--output", str(tmp_path / "new")]) == 2
    assert "did you mean 'wilson'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_readme_tells_the_verdicts_that_are_kept():
    root = pathlib.Path(__file__).parents[1]
    kept = {
        r["name"]: r
        for r in json.loads((root / "docs/reproductions/reproductions.json").read_text())
    }
    told = re.findall(
        r"^\| \[.+?\]\(docs/reproductions/(\w+)/index\.md\) \| ([a-z ]+) \|",
        (root / "README.md").read_text(),
        re.MULTILINE,
    )
    assert told == [(name, kept[name]["verdict"]) for name in list(CLAIMS)[:10]]
