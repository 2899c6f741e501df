"""How much a loss depends on the learning rate, with and without warm-up and clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax

from lropt_jax.comparisons.inference import Interval, at_least, bootstrap
from lropt_jax.optimizers import adamw, sgd
from lropt_jax.plotting.axes import logarithmic
from lropt_jax.plotting.style import PALETTE, style
from lropt_jax.problems import problem
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.claim import Claim, Data, Judgement
from lropt_jax.reproductions.shaped import SHAPES, select
from lropt_jax.sweeps.results.statistics import lr_sensitivity

NETS = ("docs_transformer", "docs_ngram", "mnist1d_mlp", "mnist1d_batchnorm")
RATES = np.geomspace(3e-4, 0.3, 13)  # three decades, as in the paper
STEPS, SEEDS, NEEDED = 300, 10, 3
FEWER = {"docs_transformer": (200, 5)}  # updates and seeds: each takes ten times as long
LEAST = 0.05  # a smaller part of the sensitivity does not matter
NONE = 1e9  # a norm that is never reached
WARM, CLIPPED = ("cosine", "warm_cosine"), (NONE, 1.0)
KINDS = {"neither": (0, 0), "warm-up": (1, 0), "clipping": (0, 1), "both": (1, 1)}


def _factory(steps: int) -> Any:
    def made(learning_rate: Any, warm: Any, clip: Any) -> Any:
        rate = select([SHAPES[name](learning_rate, steps) for name in WARM], warm)
        return optax.chain(optax.clip_by_global_norm(clip), adamw(rate))

    return made


def _measure(bench: Bench) -> Data:
    rates = RATES[:: bench.scaled(1, 4)].tolist()
    nets = bench.scaled(NETS, ("mnist1d_mlp", "mnist1d_batchnorm"))
    found: Data = {"rates": rates, "nets": {}}
    space = {"learning_rate": rates, "warm": list(range(len(WARM))), "clip": list(CLIPPED)}
    for net in nets:
        task = problem(net)
        updates, repeated = FEWER.get(net, (STEPS, SEEDS))
        steps, seeds = bench.scaled(updates, 100), bench.seeds(repeated)
        common: dict[str, Any] = {"seeds": seeds, "strategy": "map"}
        result = bench.sweep(net, task, _factory(steps), space, steps=steps, **common)
        untouched = bench.sweep(f"{net}-0", task, sgd, {"learning_rate": [0.0]}, steps=1, **common)
        shape = (len(rates), len(WARM), len(CLIPPED), seeds)
        found["nets"][net] = {
            "losses": result.last("valid_loss").reshape(shape),
            "initial": untouched.last("valid_loss")[0],
        }
    return found


def _sensitivities(data: Data, net: str) -> dict[str, np.ndarray]:
    """Of each kind, one a seed."""
    held = data["nets"][net]
    losses = np.array(held["losses"], float)
    rates = np.asarray(data["rates"], float)
    return {
        kind: np.array(
            [
                lr_sensitivity(rates, losses[:, warm, clip, seed], initial)
                for seed, initial in enumerate(held["initial"])
            ]
        )
        for kind, (warm, clip) in KINDS.items()
    }


def _lowered(found: dict[str, np.ndarray], kind: str) -> Interval:
    """The part of the sensitivity that is gone, its interval by a paired bootstrap of seeds."""
    before, after = found["neither"], found[kind]
    return bootstrap(lambda seeds: 1 - after[seeds].mean() / before[seeds].mean(), len(before))


def _judge(data: Data) -> Judgement:
    table, answers, parts = [], [], []
    for net in data["nets"]:
        found = _sensitivities(data, net)
        lowered = {kind: _lowered(found, kind) for kind in KINDS if kind != "neither"}
        warm = lowered["warm-up"]
        answers.append(True if warm.low > 0 else False if warm.high < LEAST else None)
        parts.append(f"{net} {warm.value:+.0%}")
        table.append(
            {
                "net": net,
                **{f"sensitivity, {kind}": f"{s.mean():.3f}" for kind, s in found.items()},
                **{
                    f"{kind} lowers it by": f"{x.value:.0%} [{x.low:.0%}, {x.high:.0%}]"
                    for kind, x in lowered.items()
                },
            }
        )
    return Judgement(
        at_least(answers, NEEDED),
        f"warm-up lowers the sensitivity on {answers.count(True)} of {len(answers)} nets; by: "
        f"{', '.join(parts)}",
        table,
    )


def _figure(data: Data) -> Any:
    nets = data["nets"]
    with style() as figure:
        fig = figure(figsize=(8.4, 3.2 * ((len(nets) + 1) // 2)), layout="constrained")
        panels = fig.subplots((len(nets) + 1) // 2, 2, squeeze=False).flat
        for (net, held), axes in zip(nets.items(), panels, strict=False):
            initial = np.asarray(held["initial"], float)
            losses = np.array(held["losses"], float)
            losses = np.minimum(np.where(np.isfinite(losses), losses, np.inf), initial)
            for (kind, (warm, clip)), colour in zip(KINDS.items(), PALETTE, strict=False):
                mean = losses[:, warm, clip].mean(axis=1)
                axes.plot(data["rates"], mean, "o-", color=colour, markersize=3, label=kind)
            axes.set_xscale("log")
            logarithmic(axes, "y")
            axes.axhline(initial.mean(), color="0.3", linewidth=1, linestyle=":")
            axes.set_title(net)
            axes.set_xlabel("peak learning rate")
            axes.set_ylabel("validation loss")
        fig.axes[0].legend()
    return fig


CLAIM = Claim(
    name="warmup_sensitivity",
    title="Warm-up makes the rate matter less",
    claim="Warm-up makes what a training comes to depend less on the learning rate: the loss stays "
    "good over a wider range of rates.",
    source="Wortsman et al. 2023, arXiv:2309.14322",
    setting=f"{', '.join(NETS)}; AdamW, cosine to 0 over {STEPS} updates, {len(RATES)} rates from "
    f"3e-4 to 0.3, with and without a warm-up over 10% of the updates and clipping to norm 1; "
    f"{SEEDS} seeds, the same for all ({NETS[0]}: {FEWER[NETS[0]][0]} updates, "
    f"{FEWER[NETS[0]][1]} seeds); validation loss",
    differs="The paper trains transformers from 10M to 1.2B parameters for 100,000 updates, always "
    "with clipping, and varies the length of the warm-up.",
    expected="A lower sensitivity with warm-up.",
    criterion="On a net warm-up (without clipping) lowers `lr_sensitivity`, the mean excess of the "
    "loss over the rates: the 95% interval of the part that is gone, by a paired bootstrap over "
    f"seeds, lies above 0; it does not where that ends below {LEAST:.0%}. Reproduced: on {NEEDED} "
    f"of {len(NETS)} nets.",
    frozen="2026-11-25",
    sentences={
        "reproduced": "With a warm-up a rate that is too high does less harm.",
        "not reproduced": "Warm-up did not make the rate matter less on most nets.",
        "undecided": "Whether warm-up makes the rate matter less could not be told on enough nets.",
    },
    advice="Tune the rate with the warm-up that you will use: it moves the best rate up and the "
    "best loss down a little. Do not count on it, or on clipping, to make the tuning needless.",
    limits="Small nets, short trainings, validation losses that overfitting can raise, too.",
    measure=_measure,
    judge=_judge,
    figure=_figure,
    seeds=SEEDS,
)
