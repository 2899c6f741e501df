"""How often the band of `expected_best` holds, and how wide it is beside that of Dvoretzky, Kiefer,
Wolfowitz and Massart: `python -m benchmarks.expected_best`."""

from __future__ import annotations

import argparse
import math

import numpy as np

from lropt_jax import expected_best
from lropt_jax.sweeps.results.best_of_n import coverage, order_statistics, read_quantiles

SEARCHES = 4000
COUNT = 48


def mixture(random, shape):
    """One configuration in ten is of the good kind."""
    good, bad = random.normal(size=shape), 20 + random.normal(size=shape)
    return np.where(random.random(shape) < 0.1, good, bad)


def diverging(random, shape):
    """Losses in steps of a tenth, one in ten diverged."""
    losses = np.round(random.beta(2, 5, size=shape), 1)
    return np.where(random.random(shape) < 0.1, np.inf, losses)


DISTRIBUTIONS = {
    "normal": lambda random, shape: random.normal(size=shape),
    "Cauchy": lambda random, shape: random.standard_cauchy(size=shape),
    "log-normal, sigma 2": lambda random, shape: random.lognormal(sigma=2, size=shape),
    "two modes": mixture,
    "rounded, a tenth diverged": diverging,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How often the band of expected_best holds.")
    parser.add_argument("--searches", type=int, default=SEARCHES, help="of each distribution")
    searches = parser.parse_args().searches
    quantiles = read_quantiles(COUNT)
    print(f"{searches} searches of {COUNT} configurations; the band holds at all n at once in")
    for name, draw in DISTRIBUTIONS.items():
        random = np.random.default_rng(0)
        population = np.sort(draw(random, 4_000_000))
        truth = population[np.ceil(quantiles * len(population)).astype(int) - 1]
        held = 0
        for values in draw(random, (searches, COUNT)):
            _, low, high = expected_best(values)
            held += bool(((low <= truth) & (truth <= high)).all())
        print(f"  {name:26} {held / searches:.1%}")
    print("\nconfigurations  exact coverage  width over DKW's, in ranks (mean over n)")
    for count in (8, 16, 48, 200, 1000):
        at = read_quantiles(count)
        least, most = order_statistics(count, count, 0.95)
        reach = math.sqrt(math.log(2 / 0.05) / (2 * count))
        widest = np.minimum(count * (at + reach), count) - np.maximum(count * (at - reach), 0)
        share = ((most - least) / widest).mean()
        print(f"  {count:12}  {coverage(count, at, least, most):14.2%}  {share:.2f}")


if __name__ == "__main__":
    main()
