"""Every report is one page that needs no other file and that everybody can read."""

from __future__ import annotations

import html.parser
import itertools
import re

import pytest

from lropt_jax import adam, compare, log_grid, sgd, sweep, tune
from lropt_jax.comparisons.tables import comparison_table, pairs_of
from tests.problems import regression

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
EMPTY = {"meta", "br", "link", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """The elements of a page in their order, each with its attributes, and what is not closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.amiss = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.amiss.append(tag)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def compared():
    spaces = {"sgd": (sgd, {"learning_rate": log_grid(0.01, 1.0, 3)}),
              "adam": (adam, {"learning_rate": log_grid(0.01, 1.0, 3)}),
              "lost": (sgd, {"learning_rate": log_grid(1e4, 1e6, 3)})}  # fmt: skip
    return compare(regression(), spaces, steps=30, seeds=3, tuning_seeds=2, progress=False)


@pytest.fixture(scope="module", params=["compare", "sweep", "tune"])
def text(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "compare":
        return request.getfixturevalue("compared").report(folder).read_text()
    if request.param == "sweep":
        space = {"learning_rate": log_grid(0.01, 1.0, 3), "momentum": [0.0, 0.9]}
        found = sweep(regression(), sgd, space, steps=20, seeds=2, progress=False)
        return found.report(folder).read_text()
    found = tune(regression(), steps=20, budget=6, seeds=2, metric="valid_loss", progress=False)
    return found.report(folder).read_text()


def test_it_needs_no_other_file(text):
    page = Page(text)
    assert not page.amiss
    assert page.open == []
    assert not page.all("link", "iframe", "object")
    assert all("src" not in a for a in page.all("script", "img"))
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)


def test_it_can_be_read_by_everybody(text):
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert any(a.get("name") == "viewport" for a in page.all("meta"))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))
    figures = page.all("svg")
    assert len(figures) == 2 * len(page.all("figure")) > 0  # for wide windows and for phones
    assert all(a["role"] == "img" and len(a["aria-label"]) > 3 for a in figures)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used <= set(ids)
    tables = page.all("table")
    assert len(tables) >= 1
    assert len(page.all("caption")) == len(tables)
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert "prefers-color-scheme: dark" in text


def test_points_say_their_values(text):
    titles = re.findall(r"<circle[^>]*><title>([^<]+)</title>", text)
    assert titles
    assert all(re.search(r"\d", said) for said in titles)


def test_who_cannot_be_told_from_the_best_shares_its_rank(compared):
    table = comparison_table(compared)
    assert table.headings[:2] == ["optimizer", "rank"]
    ranks = [row[1] for row in table.rows]
    alike = 1 + len(table.tied)
    assert ranks[:alike] == (["=1"] * alike if table.tied else ["1"])
    assert table.rows[-1][:2] == ["lost (never finished)", "–"]
    assert [table.mark(i) for i in range(len(table.rows))].count("") == len(table.rows) - alike


def test_each_pair_is_told_once(compared):
    found = pairs_of(compared)
    assert found.names == list(compared.ranking)
    tests = {frozenset((t.first, t.second)): t for t in compared.tests()}
    seen = []
    for row in found.rows:
        for other, pair in zip(found.names, row.pairs, strict=False):
            test = tests[frozenset((row.name, other))]
            assert (pair.better == "") == test.tie
            assert f"{test.first} − {test.second}" in pair.said
            seen.append({row.name, other})
    assert len(seen) == len(found.names) * (len(found.names) - 1) // 2


def test_few_seeds_are_called_weak(compared, tmp_path):
    assert "Weak evidence." in compared.report(tmp_path).read_text()
