"""What a long command is going to do and to cost: said before it does it, with --plan instead."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.progress import several
from lropt_jax.sweeps.running.foreseen import Cost


def add_plan(parser: argparse.ArgumentParser) -> None:
    """The option that asks for the plan alone."""
    parser.add_argument(
        "--plan",
        action="store_true",
        help="say what would be trained and what it would cost, and stop",
    )


def said(options: argparse.Namespace, words: str, numbers: Mapping[str, Any]) -> Answer | None:
    """Says a plan; the whole answer where nothing but it was asked for."""
    if options.plan:
        return Answer({"plan": words, **numbers}, lambda: print(words))
    print(words, flush=True)
    return None


def with_kept(
    words: str, cost: Cost, made: int, folder: Path, left: float | None = None
) -> tuple[str, dict[str, Any]]:
    """A plan in words and in numbers, with what is left of it to do.

    Args:
      words: what is going to be trained.
      cost: what all of it takes.
      made: model-steps of it that lie there already.
      folder: where.
      left: seconds; as those model-steps are of all by default.
    """
    if made:
        left = cost.seconds * (1 - made / cost.model_steps) if left is None else left
        rest = f"about {time_words(left)} are left" if left > 0 else "it is read back"
        words += f" {made:,} of the model-steps lie in {folder} already: {rest}."
    return words, {**dataclasses.asdict(cost), "trained_before": made}


def cost_words(cost: Cost, measured: str) -> str:
    """A cost in a sentence or two.

    Args:
      cost: what is foreseen.
      measured: whose updates were.
    """
    return (
        f"{several(cost.trainings, 'training')}, {several(cost.model_steps, 'model-step')}; "
        f"{cost.lanes} at once in about {_bytes(cost.memory)}. About {time_words(cost.seconds)} "
        f"on this machine, an estimate from a few updates of {measured}."
    )


def _bytes(count: float) -> str:
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.2g} {unit}" if count < 100 else f"{count:.0f} {unit}"
    return f"{count / 1000:.3g} GB"


def time_words(seconds: float | None) -> str:
    """A time in words, as exact as an estimate may be."""
    if seconds is None:
        return "not measured"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86400:,.0f} days"
