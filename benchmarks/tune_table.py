"""What came out of `benchmarks/tune.py`, as a table, and by the criteria that were fixed before."""

from __future__ import annotations

import numpy as np

from lropt_jax.atlas.design import STEPS

RESAMPLES = 4000
LEAST = 1e-3  # regret that a ratio is taken of, at least
SHARE, COVERED, WORST = 0.7, 0.9, 2.0


def table(records, commons, signs, methods):
    """The figures and what they say, in Markdown.

    Args:
      records: by problem, a record a repeat.
      commons: by problem, what its repeats share.
      signs: by problem, 1 where the least is best.
      methods: words by their names.
    """
    names = [name for name in signs if name in records]
    scales = {n: _scale(commons[n], signs[n]) for n in names}
    regrets = {
        n: {m: np.array([_regret(np.mean(r["values"][m]), *scales[n]) for r in records[n]])
            for m in methods}
        for n in names
    }  # fmt: skip
    held = {n: np.array([_held(r, *scales[n]) for r in records[n]], float) for n in names}
    rows = [f"| method | {' | '.join(names)} | median | beaten by `tune` |",
            f"| --- | {'---: | ' * len(names)}---: | ---: |"]  # fmt: skip
    for method, words in methods.items():
        cells = [f"{np.median(regrets[n][method]):.2f}" for n in names]
        whole = _interval(_medians(regrets, method), _drawn(names, regrets), regrets)
        won = "–" if method == "tune" else f"{_wins(regrets, names, method)} of {len(names)}"
        rows.append(f"| {words} | {' | '.join(cells)} | {whole} | {won} |")
    seconds = [r["seconds"] for n in names for r in records[n]]
    used = [r["model_steps"] / (BUDGETED * STEPS[n]) for n in names for r in records[n]]
    rows += [
        "",
        f"Repeats: {', '.join(f'{n} {len(records[n])}' for n in names)}. `tune` took "
        f"{np.median(seconds):.0f} s (median, on busy cores, what its first call compiles among "
        f"it) and, with its fresh seeds, {np.median(used):.1f} times the model-steps of its "
        "budget.",
        "",
        *_criteria(regrets, held, scales, commons, signs, names),
    ]
    return "\n".join(rows)


BUDGETED = 8


def _scale(common, sign):
    """The reference's best and its distance from the median configuration, as losses."""
    best = min(sign * v for v in common["sweeps"].values() if np.isfinite(v))
    return sign, best, max(sign * common["median"] - best, 1e-12)


def _regret(value, sign, best, scale):
    return float(np.nan_to_num((sign * value - best) / scale, nan=1.0))


def _held(record, sign, best, _):
    """Whether the interval that `tune` gave of its regret holds it."""
    truth = max(0.0, sign * np.mean(record["values"]["tune"]) - best)
    low, high = record["regret"][1:]
    return low - 1e-9 <= truth <= high + 1e-9


def _drawn(names, regrets, over_problems=True, seed=0):
    """Resamples: problems, and for each the numbers of its repeats."""
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        problems = rng.integers(0, len(names), len(names)) if over_problems else range(len(names))
        chosen = [names[p] for p in problems]
        yield [(n, rng.integers(0, len(regrets[n]["tune"]), len(regrets[n]["tune"])))
               for n in chosen]  # fmt: skip


def _whole(regrets):
    return [(n, np.arange(len(r["tune"]))) for n, r in regrets.items()]


def _medians(regrets, method):
    return lambda sample: float(np.median([np.median(regrets[n][method][i]) for n, i in sample]))


def _wins(regrets, names, method):
    return sum(np.median(regrets[n]["tune"]) < np.median(regrets[n][method]) for n in names)


def _estimate(statistic, drawn, regrets):
    low, high = np.quantile([statistic(sample) for sample in drawn], [0.025, 0.975])
    return statistic(_whole(regrets)), low, high


def _interval(statistic, drawn, regrets):
    value, low, high = _estimate(statistic, drawn, regrets)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _criteria(regrets, held, scales, commons, signs, names):
    """A line for each, ending in what it came to."""
    ours = _medians(regrets, "tune")

    def ratio(sample):
        return max(_medians(regrets, "random_32")(sample), LEAST) / max(ours(sample), LEAST)

    def won(sample):
        return float(np.mean([
            np.median(regrets[n]["tune"][i]) < np.median(regrets[n]["grid_8"][i])
            for n, i in sample
        ]))  # fmt: skip

    def ahead(sample):
        return float(np.median([
            np.median(regrets[n]["tpe_equal"][i]) - np.median(regrets[n]["tune"][i])
            for n, i in sample
        ]))  # fmt: skip

    def covered(sample):
        return float(np.mean([held[n][i].mean() for n, i in sample]))

    single = _single(scales, commons, signs, names)

    def worst(sample):
        return max(np.median(regrets[n]["tune"][i]) for n, i in sample) / max(single[1], LEAST)

    few = list(_drawn(names, regrets))
    fixed = list(_drawn(names, regrets, over_problems=False))
    lines = []
    for said, statistic, drawn, bound, above, form in (
        ("the median regret of random search with 32 over that of `tune`, above 1",
         ratio, few, 1.0, True, "{:.2f}"),
        ("the problems on which `tune` beats Adam's 8 rates, at least 70%",
         won, few, SHARE, True, "{:.0%}"),
        ("by how much `tune` is ahead of TPE at equal model-steps, above 0",
         ahead, few, 0.0, True, "{:.3f}"),
        ("how often the interval of its regret holds it, at least 90%",
         covered, few, COVERED, True, "{:.0%}"),
        (f"its worst problem over the worst of the best single sweep ({single[0]}), at most 2",
         worst, fixed, WORST, False, "{:.2f}"),
    ):  # fmt: skip
        value, low, high = _estimate(statistic, drawn, regrets)
        sure, never = (low >= bound, high < bound) if above else (high <= bound, low > bound)
        verdict = "reached" if sure else "not reached" if never else "cannot be told"
        value, low, high = map(form.format, (value, low, high))
        lines.append(f"- {said}: {value} [{low}, {high}]: **{verdict}**")
    return lines


def _single(scales, commons, signs, names):
    """The optimizer whose sweep is least bad on its worst problem, and how bad."""
    worst = {
        optimizer: max(
            _regret(commons[n]["sweeps"].get(optimizer, np.nan), *scales[n]) for n in names
        )
        for optimizer in commons[names[0]]["sweeps"]
    }
    best = min(worst, key=worst.get)
    return best, worst[best]
