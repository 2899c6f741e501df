"""`profile_scores`, against hand-made tables."""

import numpy as np
import pandas as pd
import pytest

from lropt_jax import profile_scores

INF, NAN = np.inf, np.nan


def scores(rows, variants=None, **named):
    table = pd.DataFrame(rows).T
    return profile_scores(table, variants or {}, **named)


def test_a_step_of_the_profile_by_hand():
    # 1 + i/33 are the points; 2.01 is first reached at i = 34: 65 whole intervals and a half.
    found = scores({"a": [1.0], "b": [2.01], "c": [4.001]})
    assert found.to_dict() == pytest.approx({"a": 1.0, "b": 65.5 / 99, "c": 0.0})
    assert found.name == "score"
    assert list(found.index) == ["a", "b", "c"]


def test_workloads_that_were_not_reached_or_not_run_stay_in_the_denominator():
    found = scores({"a": [1.0, INF, 3.0, INF], "b": [INF, 2.0, NAN, NAN]})
    assert found.to_dict() == pytest.approx({"a": 0.5, "b": 0.25})


def test_nobody_arrives():
    assert scores({"a": [INF, NAN], "b": [NAN, NAN]}).tolist() == [0.0, 0.0]


def test_a_base_time_is_void_where_its_variant_is_missing_or_too_slow():
    rows = {
        "fast": [1.0, INF],  # void: then nobody's fastest
        "good": [10.0, 2.0],
        "just": [10.0, 8.0],
        "slow": [10.0, 8.001],
        "unrun": [10.0, NAN],
    }
    table = pd.DataFrame(rows, index=["base", "variant"]).T
    found = profile_scores(table, {"base": "variant"})
    assert found.to_dict() == {"fast": 0.0, "good": 1.0, "just": 1.0, "slow": 0.0, "unrun": 0.0}


def test_a_variants_time_counts_for_nothing_else_and_other_workloads_stay():
    columns = ["v", "base", "other"]
    table = pd.DataFrame([[1.0, 5.0, 1.0], [9.0, 1.0, 1.0]], ["a", "b"], columns)
    assert profile_scores(table, {"base": "v"}).tolist() == [1.0, 0.5]


def test_the_fastest_of_a_variant_may_not_have_reached_the_base():
    table = pd.DataFrame({"base": [INF, 3.0], "v": [1.0, 4.5]}, ["a", "b"])
    assert profile_scores(table, {"base": "v"}).tolist() == [0.0, 0.0]


def test_another_range():
    found = scores({"a": [1.0], "b": [2.01]}, r_max=2.0)
    assert found.tolist() == [1.0, 0.0]


def test_the_unit_does_not_matter_nor_does_the_order():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.exponential(1, (6, 9)), columns=list("abcdefghi"))
    table = table.mask(rng.random((6, 9)) < 0.2)
    variants = {"a": "i", "c": "h"}
    found = profile_scores(table, variants)
    mixed = (table * 3600).sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=1)
    pd.testing.assert_series_equal(profile_scores(mixed, variants).sort_index(), found)
    assert ((found >= 0) & (found <= 1)).all()


def test_empty_tables():
    assert len(profile_scores(pd.DataFrame(columns=["w"], dtype=float))) == 0
    with pytest.raises(ValueError, match="no variant"):
        profile_scores(pd.DataFrame(index=["a"]))


def test_columns_of_whole_numbers_and_missing_ones():
    table = pd.DataFrame({"w": pd.array([10, None, 201], dtype="Int64"), "x": [1, 1, 1]})
    assert profile_scores(table).tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("times", "named", "message"),
    [
        ({"a": [1.0, 0.0]}, {}, "times must be positive, got 0.0"),
        ({"a": [1.0, -INF]}, {}, "times must be positive, got -inf"),
        ({"a": [1.0]}, {"r_max": 1.0}, "r_max must be a finite number > 1, got 1.0"),
        ({"a": [1.0]}, {"r_max": INF}, "r_max must be a finite number > 1, got inf"),
        ({"a": [1.0]}, {"variants": {"a": "b"}}, "name columns of times, got 'b'"),
        ({"a": [1.0]}, {"variants": {"b": "a"}}, "name columns of times, got 'b'"),
        ({"a": [1.0]}, {"variants": {"a": "a"}}, "cannot have one itself"),
        (pd.DataFrame([[1.0], [2.0]], ["x", "x"]), {}, "names of methods must differ, got 'x'"),
        (pd.DataFrame([[1.0, 2.0]], ["x"], ["w", "w"]), {}, "names of workloads must differ"),
    ],
)
def test_what_is_refused(times, named, message):
    with pytest.raises(ValueError, match=message):
        profile_scores(times, **named)
