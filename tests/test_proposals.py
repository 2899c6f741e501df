"""Which further configurations an optimizer is given."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import choice, grid, integer, log_grid, log_uniform
from lropt_jax.comparisons import proposals
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.space import static_names
from lropt_jax.sweeps.planning.values import same_as

SPACE = {"learning_rate": log_grid(0.01, 1.0, 3), "momentum": choice(0.0, 0.9)}


def _tried():
    return draw(SPACE, None)


def _rates(configurations):
    return [c["learning_rate"] for c in configurations]


@pytest.mark.parametrize(
    ("rate", "expected"), [(1.0, [10.0, 100.0]), (0.01, [0.001, 0.0001]), (0.1, [])]
)
def test_beyond_an_edge_at_the_grids_own_ratio(rate, expected):
    best = {"learning_rate": rate, "momentum": 0.9}
    new = proposals.beyond_the_edge(SPACE, _tried(), best, 2)
    assert _rates(new) == pytest.approx(expected)
    assert all(c["momentum"] == 0.9 for c in new)


def test_within_the_gaps_beside_the_best_first():
    best = {"learning_rate": 0.1, "momentum": 0.9}
    two = proposals.within(SPACE, _tried(), best, 2)
    assert sorted(_rates(two)) == pytest.approx([10**-1.5, 10**-0.5])
    assert all(c["momentum"] == 0.9 for c in two)
    four = proposals.within(SPACE, _tried() + two, best, 2)
    # The neighbours are nearer now, and so are the gaps.
    assert sorted(_rates(four)) == pytest.approx([10**-1.25, 10**-0.75])


def test_at_an_edge_there_is_one_gap():
    best = {"learning_rate": 0.01, "momentum": 0.9}
    assert _rates(proposals.within(SPACE, _tried(), best, 1)) == pytest.approx([10**-1.5])


@pytest.mark.parametrize("count", [1, 17, 60])
def test_as_many_as_asked_for_all_different(count):
    best = {"learning_rate": 0.1, "momentum": 0.9}
    new = proposals.within(SPACE, _tried(), best, count)
    assert len(new) == count
    assert proposals.distinct([*_tried(), *new]) == 6 + count
    assert all(0.01 <= rate <= 1.0 for rate in _rates(new))


def test_where_nothing_finished_smaller_values():
    assert _rates(proposals.towards_smaller(SPACE, _tried(), 2)) == pytest.approx([1e-3, 1e-4])


def test_samples_go_on_where_the_sequence_stopped():
    space = {"learning_rate": log_uniform(0.01, 1.0), "momentum": choice(0.0, 0.9)}
    tried = draw(space, 5, [1, 2])
    assert tried + proposals.further_samples(space, tried, 6, [1, 2]) == draw(space, 11, [1, 2])
    assert proposals.further_samples(SPACE, _tried(), 6, [1, 2]) == []


@pytest.mark.parametrize(
    "space",
    [{"learning_rate": grid(0.1, 1.0)}, {"learning_rate": [0.1, 1.0]}, [{"learning_rate": 0.1}]],
)
def test_listed_values_are_left_as_they_are(space):
    tried = [{"learning_rate": 0.1}, {"learning_rate": 1.0}]
    for new in (
        proposals.beyond_the_edge(space, tried, tried[1], 2),
        proposals.within(space, tried, tried[1], 2),
        proposals.towards_smaller(space, tried, 2),
        proposals.further_samples(space, tried, 2, [0]),
    ):
        assert new == []


def test_equal_configurations_count_once():
    assert proposals.distinct([{"a": 1.0}, {"a": 2.0}, {"a": 1.0}]) == 2
    assert proposals.distinct([{"a": np.float64(1.0)}, {"a": 1.0}]) == 1


def test_of_several_spaces_the_bests_own_grows():
    spaces = [
        {"kind": "a", "rate": log_grid(0.01, 1.0, 3)},
        {"kind": "b", "rate": log_grid(1, 100, 3)},
    ]
    tried = draw(spaces, None)
    best = {"kind": "b", "rate": 100.0}
    assert proposals.beyond_the_edge(spaces, tried, best, 1) == [{"kind": "b", "rate": 1000.0}]
    inside = {"kind": "a", "rate": 0.1}
    assert proposals.beyond_the_edge(spaces, tried, inside, 1) == []  # b's are no neighbours
    (new,) = proposals.within(spaces, tried, inside, 1)
    assert new["kind"] == "a"
    assert proposals.towards_smaller(spaces, tried, 1) == [{"kind": "a", "rate": 0.001}]


def test_what_is_structure_stays_structure():
    space = {"rate": log_grid(0.01, 1.0, 3), "layers": choice([1, 2], static=True)}
    (point,) = proposals.as_spaces(space, [{"rate": 0.1, "layers": 2}])
    assert static_names(point) == ("layers",)
    assert draw([point], None) == [{"rate": 0.1, "layers": 2}]


def test_a_value_that_is_a_list_stays_one_value():
    tried = [{"layers": [8]}, {"layers": [8, 4]}, {"layers": np.array([8.0, 4.0])}]
    assert proposals.distinct([*tried, {"layers": [8, 4]}]) == 3
    points = draw(proposals.as_spaces({"layers": choice([8], [8, 4])}, tried), None)
    assert [type(p["layers"]) for p in points] == [list, list, np.ndarray]
    assert list(map(same_as, points)) == list(map(same_as, tried))


def test_a_space_with_few_points_runs_out():
    space = {"patience": integer(1, 3), "kind": choice("a", "b")}
    tried = draw(space, 4, [0])
    new = proposals.further_samples(space, tried, 10, [0])
    assert len(new) == 6 - proposals.distinct(tried)
    assert proposals.distinct([*tried, *new]) == 6
    assert proposals.further_samples(space, [*tried, *new], 10, [0]) == []


def test_of_equally_good_ones_one_inside():
    tried = [{"learning_rate": r, "momentum": 0.9} for r in (0.01, 0.1, 1.0)]
    assert proposals.inside(SPACE, tried, [0, 1, 2]) == 1
    assert proposals.inside(SPACE, tried, [0, 2]) == 0
