"""Every report is one page that needs no other file and that everybody can read."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import json
import re
import shutil
import subprocess
from html import escape as html_escaped
from importlib import resources

import numpy as np
import pytest

from lropt_jax import SweepResult, adam, compare, log_grid, sgd, sweep, tune
from lropt_jax.comparisons.tables import comparison_table, pairs_of, verdict
from lropt_jax.pages.tables import Table
from lropt_jax.pages.words import mean_and_interval
from lropt_jax.plotting.sweeps import budget_figure
from lropt_jax.sweeps.results.report import ranked
from lropt_jax.sweeps.results.words import alike, recommendation
from tests.browser import answers
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


def test_the_answer_comes_first_with_its_line_and_how_far_to_trust_it(text):
    first, *others = re.findall(r"<h2[^>]*>([^<]+)</h2>", text)
    assert first == "Recommendation"
    assert {"Figures"} < set(others)
    answer = text[text.index('<section class="answer"') : text.index("</section>")]
    assert re.search(r"<code>[^<]*\w+\([^<]*\d[^<]*\)</code>", answer)
    assert answer.index("<code>") < answer.index("<p>")
    assert "Weak evidence." in answer  # all three runs are short
    assert re.search("µs a step|time a step", text)
    assert "state / parameters" in text
    captions = re.findall("<figcaption>([^<]*)</figcaption>", text)
    assert captions
    assert all(len(caption) > 30 for caption in captions)


def test_what_is_only_heard_widens_no_page(text):
    assert re.search(r"\.scroll \{[^}]*position: relative", text)


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


def _swept(seeds, values):
    count = len(values)
    return SweepResult(
        [{"learning_rate": 10.0**-t} for t in range(count)], list(range(seeds)), np.array([9]),
        {"valid_loss": np.array(values, float)[:, :, None]}, {},
        np.full((count, seeds), "finished", object), np.full((count, seeds), -1),
        np.ones((count, seeds), int), ["vmap"], [4], 100,
    )  # fmt: skip


def test_a_sweep_says_who_ties_by_the_seeds_intervals():
    found = _swept(3, [[3, 3.1, 3.2], [1, 1.1, 1.2], [1.05, 1.15, 1.2], [2, 2.01, 2.02]])
    assert alike(found, "valid_loss", "min") == [2]
    table = ranked(found, "valid_loss", "min")
    assert [row[:2] for row in table.rows] == [["1", "=1"], ["2", "=1"], ["3", "3"], ["0", "4"]]
    assert [table.mark(i) for i in range(4)] == ["best mean", "tied", "", ""]
    said = recommendation(found, "valid_loss", "min")
    assert "no order between trials 1 and 2" in said
    assert said.code == "optimizer(learning_rate=0.1)"
    alone = recommendation(_swept(3, [[3, 3.1, 3.2], [1, 1.1, 1.2]]), "valid_loss", "min")
    assert "Take trial 1" in alone
    assert "no other" in alone


def test_a_wide_interval_ties_behind_one_that_is_told_from_the_best():
    found = _swept(2, [[1.0, 1.1], [1.05, 1.15], [3.0, 3.1], [-1e6, 3e6]])
    assert alike(found, "valid_loss", "min") == [1, 3]
    table = ranked(found, "valid_loss", "min")
    assert [row[:2] for row in table.rows] == [["0", "=1"], ["1", "=1"], ["2", "3"], ["3", "=1"]]
    assert table.ascends_in is None  # the page does not say that its ranks ascend
    assert Table(table.headings, table.rows[:3], sorted_by=1).ascends_in == 1


@pytest.mark.parametrize(
    ("half", "said"), [(0.007, "82.45 ± 0.70"), (0.1, "82 ± 10"), (1.2706, "82 ± 127")]
)
def test_a_percentage_has_no_more_digits_than_its_interval_bears(half, said):
    assert mean_and_interval("test_accuracy", 0.8245, half) == said


@pytest.mark.parametrize(
    ("mean", "half", "said"),
    [(14.2, 12.0, "14.2 ± 10"), (-99.903, 0.021, "-99.90 ± 0.02"), (3.0, 0.0, "3.00 ± 0"),
     (0.0967, 9e-5, "0.09670 ± 0.00009"), (1.23e5, 2e5, "123000 ± 200000"), (0.0, 0.0, "0 ± 0"),
     (-1.000107e9, 2e4, "-1.00011e+09 ± 2e+04"), (1.07e-13, 2e-14, "1.07e-13 ± 2e-14"),
     (-1e-9, 0.02, "0.0000 ± 0.02"), (0.0179, 0.4, "0.018 ± 0.4"), (1234.5, np.nan, "1230"),
     (np.inf, np.nan, "inf"), (np.nan, 1.0, "–")],
)  # fmt: skip
def test_a_mean_has_the_digits_that_its_interval_bears(mean, half, said):
    assert mean_and_interval("test_loss", mean, half) == said


def test_who_ran_alone_is_not_called_the_best(compared):
    alone = dataclasses.replace(compared, contestants={"sgd": compared.contestants["sgd"]})
    assert verdict(alone) == "sgd was tuned and tested alone: there is nothing to compare it with."


@pytest.fixture(scope="module")
def odd():
    """Names as files and people make them, and more cautions than anybody reads."""
    rates = {"learning_rate": log_grid(0.01, 1.0, 3)}
    names = [
        "package.of.somebody.with.a.long.name:an_optimizer_of_their_own",
        "<b>&amp;[red]x[/red]",
    ]
    return compare(
        regression(), dict.fromkeys([*names, "c", "d"], (sgd, rates)),
        steps=30, seeds=2, tuning_seeds=1, progress=False,
    )  # fmt: skip


WIDER = """
const beyond = text => {
  const box = text.getBoundingClientRect(), own = text.ownerSVGElement.getBoundingClientRect();
  const across = box.left < own.left - 2 || box.right > own.right + 2;
  return box.width && (across || box.top < own.top - 2 || box.bottom > own.bottom + 2);
};
const ends = [...document.querySelectorAll("svg text")].filter(beyond).map(t => t.textContent);
return {page: document.documentElement.scrollWidth, window: innerWidth, ends};
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_are_cut_nowhere(odd, tmp_path, width):
    page = odd.report(tmp_path / "report").read_text()
    assert "&lt;b&gt;&amp;amp;[red]x[/red]" in page
    found = answers(page, WIDER, tmp_path, width=width)
    assert found["window"] == width
    assert found["page"] <= width
    assert found["ends"] == []


def test_cautions_beyond_a_few_are_folded(odd, tmp_path):
    page = odd.report(tmp_path).read_text()
    answer = page[page.index('<section class="answer"') : page.index("</section>")]
    shown, _, folded = answer.partition("<details>")
    assert shown.count("<li>") == 4
    assert folded.count("<li>") == len(odd.warnings) - 2 - 4  # two are those of a first look
    assert shown.index(f"<li>{html_escaped(odd.ranking[0])}: ")


def test_where_all_is_lost_the_page_says_what_to_do(tmp_path):
    spaces = {name: (sgd, {"learning_rate": log_grid(1e9, 1e11, 3)}) for name in ("one", "other")}
    lost = compare(regression(), spaces, steps=20, seeds=2, tuning_seeds=1, progress=False)
    page = lost.report(tmp_path).read_text()
    assert "Weak evidence" not in page  # there is none
    assert "one and other: every configuration diverged" in page
    assert "smaller" in page[: page.index("</section>")]
    assert "learning_curves" not in page
    assert "is called a tie" not in page


def test_a_budget_over_decades_stands_on_them():
    curve = np.array([1e6, 1e2, 0.5]), np.array([0.0, 0.0, 0.0]), np.array([1e9, np.inf, np.inf])
    axes = budget_figure({"": curve}, "valid_loss").axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0 < low <= 0.5 < 1e6 <= high


def test_of_one_seed_nothing_is_said_about_ties():
    found = _swept(1, [[1.0], [1.0], [2.0]])
    assert alike(found, "valid_loss", "min") == []
    assert "cannot be known" in recommendation(found, "valid_loss", "min")
    table = ranked(found, "valid_loss", "min")
    assert [table.mark(i) for i in range(3)] == ["best of one seed", "", ""]
    alone = recommendation(_swept(1, [[1.0]]), "valid_loss", "min")
    assert alone.startswith("Take trial 0: its valid loss is 1.00.")


def test_a_sweep_whose_trials_all_diverged_recommends_nothing(tmp_path):
    found = _swept(2, [[np.nan, 1.0]])
    assert "nothing to recommend" in recommendation(found, "valid_loss", "min")
    assert "look at the task" in recommendation(found, "valid_loss", "min")
    text = found.report(tmp_path).read_text()
    assert "<code>" not in text
    assert "Figures" not in text
    assert "Weak evidence" not in text


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize(
    ("text", "number"),
    [("=1", 1), ("± 1.54", 1.54), ("−3.2 %", -3.2), ("12,345", 12345), ("1e-05 (edge)", 1e-5),
     ("82.45 ± 0.70", 82.45), ("1–3", 1), ("never", None), ("–", None), ("adam 2", None),
     ("3adam", None), ("0.36 [0.1, 0.5]", 0.36), ("1.2.3", None), ("", None), ("16 best", 16),
     ("+ 4", 4), ("<0.1", 0.1)],
)  # fmt: skip
def test_a_column_sorts_by_its_numbers_wherever_their_sign_stands(text, number):
    code = resources.files("lropt_jax.pages").joinpath("page.js").read_text("utf-8")
    begin = code.index("function numberIn")
    function = code[begin : code.index("\n}\n", begin) + 3]
    ask = f"{function}console.log(JSON.stringify(numberIn({json.dumps(text)})))"
    said = subprocess.run(["node", "-e", ask], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == number


SORT = """
const table = document.querySelector("table"), heads = [...table.tHead.rows[0].cells];
const column = heads.findIndex(h => h.textContent.startsWith("test acc") || h.textContent.startsWith("test loss"));
const values = () => [...table.tBodies[0].rows].map(r => r.cells[column].textContent);
const press = () => { heads[column].querySelector("button").click(); return [heads[column].getAttribute("aria-sort"), values()]; };
const up = press(), down = press();
return {up, down, sorted: heads.filter(h => h.hasAttribute("aria-sort")).length,
        reached: heads.every(h => h.querySelector("button").tabIndex === 0)};
"""  # noqa: E501


def test_in_a_browser_tables_sort_by_their_numbers(compared, tmp_path):
    page = compared.report(tmp_path).read_text()
    found = answers(page, SORT, tmp_path)
    for (way, values), sign in ((found["up"], 1), (found["down"], -1)):
        assert way == ("ascending" if sign == 1 else "descending")
        numbers = [sign * float(v.split()[0]) for v in values if v != "–"]
        assert len(numbers) == 2
        assert numbers == sorted(numbers)
        assert values[-1] == "–"  # what has no number comes last either way
    assert found["sorted"] == 1
    assert found["reached"]
