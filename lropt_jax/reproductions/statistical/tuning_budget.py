"""The best of n configurations, for every n: which optimizer to take when tuning is dear?"""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import at_least
from lropt_jax.optimizers import adam, sgd
from lropt_jax.plotting.style import colours, style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.schedules import polynomial
from lropt_jax.sweeps.planning.space import log_uniform, uniform
from lropt_jax.sweeps.results.best_of_n import expected_best

NETS = ("digits_linear", "mnist1d_mlp", "mnist1d_batchnorm", "mnist5k_mlp", "docs_ngram")
STEPS, CONFIGURATIONS = 500, 128
FEW, NEEDED = 4, 3
RESAMPLES = 200
OURS, OTHER = "Adam, rate", "SGD, rate"
# Four decades around where each family's useful rates lie, decided before any run.
ADAM_RATES, SGD_RATES = log_uniform(3e-5, 0.3), log_uniform(3e-4, 3.0)


def _adam(learning_rate: Any, b1_gap: Any, b2_gap: Any, eps: Any) -> Any:
    return adam(learning_rate, b1=1 - b1_gap, b2=1 - b2_gap, eps=eps)


def _sgd(learning_rate: Any, momentum: Any, weight_decay: Any) -> Any:
    return sgd(learning_rate, momentum=momentum, l2=weight_decay)


def _entries(steps: int) -> dict[str, tuple[Any, Any]]:
    def falling(learning_rate: Any, momentum: Any, weight_decay: Any, power: Any) -> Any:
        rate = polynomial(learning_rate, 0.0, power, steps)
        return sgd(rate, momentum=momentum, l2=weight_decay)

    gaps = {"b1_gap": log_uniform(1e-3, 0.5), "b2_gap": log_uniform(1e-4, 0.1)}
    more = {"momentum": uniform(0.0, 0.99), "weight_decay": log_uniform(1e-5, 0.1)}
    return {
        OURS: (adam, {"learning_rate": ADAM_RATES}),
        "Adam, all": (_adam, {"learning_rate": ADAM_RATES, **gaps, "eps": log_uniform(1e-8, 1.0)}),
        OTHER: (sgd, {"learning_rate": SGD_RATES, "momentum": 0.9}),
        "SGD, all": (_sgd, {"learning_rate": SGD_RATES, **more}),
        "SGD, all, polynomial decay": (
            falling, {"learning_rate": SGD_RATES, **more, "power": uniform(0.5, 5.0)},
        ),
    }  # fmt: skip


def _measure(bench: Bench) -> Data:
    steps = bench.scaled(STEPS, 60)
    found: Data = {}
    for net in bench.scaled(NETS, ("digits_linear", "mnist1d_mlp")):
        task, found[net] = problem(net), {}
        for number, (name, (factory, space)) in enumerate(_entries(steps).items()):
            result = bench.sweep(
                f"{net}-{number}", task, factory, space, steps=steps, strategy="map",
                trials=bench.scaled(CONFIGURATIONS, 16),
            )  # fmt: skip
            found[net][name] = result.last("valid_accuracy")[:, 0]
    return found


def _few(values: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean best of 1 to 4, and the band for its median."""
    return expected_best(values, FEW, "max", bounds=(0.0, 1.0))


def _most_often(data: Data, drawn: np.ndarray | None = None) -> str:
    """Who is best at the most budgets and nets (of so many configurations drawn anew)."""
    wins: dict[str, int] = {}
    for scores in data.values():
        values = {n: np.nan_to_num(np.asarray(v, float)) for n, v in scores.items()}
        if drawn is not None:
            values = {n: v[drawn] for n, v in values.items()}
        means = {n: _few(v)[0] for n, v in values.items()}
        for budget in range(FEW):
            best = max(means, key=lambda n: means[n][budget])
            wins[best] = wins.get(best, 0) + 1
    return max(wins, key=lambda n: wins[n])


def _excluded(scores: Data) -> bool | None:
    """Whether Adam's band lies above SGD's at some budget; no where SGD is ahead at all."""
    ours, other = _few(scores[OURS]), _few(scores[OTHER])
    if (ours[1] > other[2]).any():
        return True
    return False if (other[0] >= ours[0]).all() else None


def _judge(data: Data) -> Judgement:
    size = len(next(iter(next(iter(data.values())).values())))
    rng = np.random.default_rng(0)
    drawn = [_most_often(data, rng.integers(0, size, size)) for _ in range(RESAMPLES)]
    share = drawn.count(OURS) / RESAMPLES
    often = True if share >= 0.95 else False if share <= 0.05 else None
    excluded = [_excluded(scores) for scores in data.values()]
    table = []
    for net, scores in data.items():
        for name, values in scores.items():
            mean, low, high = _few(values)
            table.append(
                {
                    "net": net,
                    "method": name,
                    **{f"best of {n}": f"{100 * mean[n - 1]:.1f}" for n in (1, 2, 4)},
                    "band of 4": f"{100 * low[-1]:.1f} to {100 * high[-1]:.1f}",
                    "best of all": f"{100 * np.nanmax(np.asarray(values, float)):.1f}",
                }
            )
    return Judgement(
        at_least((often, at_least(excluded, NEEDED)), 2),
        f"best most often with at most {FEW} configurations: {_most_often(data)} ({OURS} in "
        f"{share:.0%} of resamples); its band excludes {OTHER} on {excluded.count(True)} of "
        f"{len(excluded)} nets",
        table,
    )


def _figure(data: Data) -> Any:
    colour = colours(next(iter(data.values())))
    with style() as figure:
        fig = figure(figsize=(9.0, 3.0 * ((len(data) + 2) // 3)), layout="constrained")
        panels = fig.subplots((len(data) + 2) // 3, 3, squeeze=False).flat
        for (net, scores), axes in zip(data.items(), panels, strict=False):
            for name, values in scores.items():
                most = min(64, len(values))
                mean, low, high = expected_best(values, most, "max", bounds=(0.0, 1.0))
                budgets = np.arange(1, most + 1)
                axes.semilogx(budgets, 100 * mean, base=2, color=colour[name], label=name)
                if name in (OURS, OTHER):
                    known = high < 1.0  # of larger budgets the band says nothing from above
                    axes.fill_between(
                        budgets, 100 * low, 100 * high, known,
                        color=colour[name], alpha=0.15, linewidth=0,
                    )  # fmt: skip
            best = 100 * max(map(max, scores.values()))
            axes.set_ylim(0.55 * best, 1.02 * best)
            axes.set_title(net)
            axes.set_xlabel("configurations tried")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_ylabel("best accuracy (%)")
        for axes in panels:
            axes.set_visible(False)
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


CLAIM = Claim(
    name="tuning_budget",
    title="Which optimizer, when tuning is dear?",
    claim="With few configurations to try, Adam with nothing but its rate tuned is the one to "
    "take; SGD needs more tuning to come to the same.",
    source="Sivaprasad et al. 2019, arXiv:1910.11758",
    setting=f"{', '.join(NETS)}, {STEPS} updates; Adam (rate; or rate, b1, b2, eps) and SGD (rate "
    "at momentum 0.9; or rate, momentum, L2; or these and a polynomial decay), "
    f"{CONFIGURATIONS} random configurations each, rates over four decades; validation accuracy",
    differs="The paper has nine larger problems and fits its priors to good configurations.",
    expected="Adam (rate) first for small budgets, caught up with by tuned SGD at large ones.",
    criterion=f"(i) Over the nets and budgets of 1 to {FEW}, Adam (rate) has the best expected "
    f"best more often than any other, in at least 95% of {RESAMPLES} resamples of configurations "
    f"(not: in at most 5%); (ii) at some such budget its exact band (for the median best, "
    f"simultaneous, 95%) lies above SGD's (rate) on at least {NEEDED} of {len(NETS)} nets (not: "
    "where SGD is ahead at all of them).",
    frozen="2026-11-25",
    sentences={
        "reproduced": "When you can try only a few configurations, take Adam and tune its rate.",
        "not reproduced": "With few configurations Adam and its rate were not the best choice.",
        "undecided": "Which optimizer wins at small budgets could not be told.",
    },
    advice="Ask how many trainings you can afford before you choose; at four or fewer tune only "
    "the rate.",
    limits="The answer depends on the ranges searched, which here are equally wide for all.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=CONFIGURATIONS,
)
