"""Writes a comparison to a folder: report.html, figures as PNG, all rows as CSV."""

from __future__ import annotations

import base64
import importlib.metadata
import io
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

from lropt_jax.comparisons.protocol import Comparison
from lropt_jax.comparisons.tables import comparison_table, paired_table, verdict
from lropt_jax.plotting import comparisons as figures
from lropt_jax.validation import require

NEEDED = ("matplotlib", "pandas", "scipy", "jinja2", "rich")
PACKAGES = ("lropt-jax", "jax", "jaxlib", "optax", "flax", "numpy")


def require_report() -> None:
    """Finds out before the work whether a report can be made after it.

    Raises:
      ImportError: naming the missing package and the extra that installs it.
    """
    require("a report", "report", *NEEDED)


def write_report(
    comparison: Comparison,
    folder: str | os.PathLike[str],
    title: str,
    setting: Mapping[str, Any],
    command: str | None = None,
    steps_per_epoch: int | None = None,
) -> pathlib.Path:
    """Writes `report.html`, the figures as PNG, and all rows as CSV.

    Args:
      comparison: what to report.
      folder: made if it does not exist; files of the same names are replaced.
      title: of the page.
      setting: what was trained, as words by heading (data, model, schedule, ...).
      command: the command that makes the same run again.
      steps_per_epoch: for axes in epochs instead of updates.

    Returns:
      The path of `report.html`.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = _figures(comparison, steps_per_epoch)
    pictures = []
    for name, (figure, caption) in drawn.items():
        png = io.BytesIO()
        figure.savefig(png, format="png")
        (folder / f"{name}.png").write_bytes(png.getvalue())
        data = base64.b64encode(png.getvalue()).decode()
        pictures.append({"name": name, "caption": caption, "data": data})
    comparison.table().to_csv(folder / "table.csv")
    comparison.to_pandas().to_csv(folder / "rows.csv", index=False)
    finals_frame(comparison).to_csv(folder / "retrained.csv", index=False)
    page = _template().render(
        title=title,
        setting=setting,
        table=comparison_table(comparison),
        tests=paired_table(comparison),
        verdict=verdict(comparison),
        protocol=str(comparison.protocol),
        budgets=_budgets(comparison),
        pictures=pictures,
        versions=versions(),
        command=command,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def finals_frame(comparison: Comparison) -> Any:
    """Each retrained model's metrics over whole splits, a row a seed."""
    import pandas as pd

    frames = []
    for name, contestant in comparison.contestants.items():
        run = contestant.retraining
        columns = {metric: values[0] for metric, values in run.final.items()}
        frame = pd.DataFrame({"optimizer": name, "seed": run.seeds, **columns})
        frames.append(frame.assign(status=run.status[0], **contestant.chosen))
    return pd.concat(frames, ignore_index=True)


def versions() -> dict[str, str]:
    """What ran: the versions of Python and the packages, and the machine's kind."""
    import jax

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = jax.local_devices()
    kind = devices[0].device_kind
    found["devices"] = f"{len(devices)} x {kind} ({platform.machine()}, {os.cpu_count()} cores)"
    return found


def _figures(comparison: Comparison, steps_per_epoch: int | None) -> dict[str, tuple[Any, str]]:
    select = comparison.protocol.select.replace("_", " ")
    drawn = {
        "learning_curves": (
            figures.learning_curves(comparison, steps_per_epoch),
            "The retraining of the chosen configurations: mean and 95% interval of the mean over "
            "the fresh seeds. Training loss is the mean batch loss since the last evaluation.",
        ),
    }
    if any("learning_rate" in c.chosen for c in comparison.contestants.values()):
        drawn["learning_rates"] = (
            figures.basins(comparison),
            "The tuning runs: each learning rate's test metric (mean and interval over the tuning "
            f"seeds). Shaded: the basin whose {select} comes close to the best one. Dashed: the "
            "choice, made on validation data alone. Crosses: some seed diverged.",
        )
    if "accuracy" in comparison.evaluations:
        drawn["generalization_gap"] = (
            figures.generalization_gap(comparison),
            "From test to train accuracy of the retrained models.",
        )
    return drawn


def _budgets(comparison: Comparison) -> list[str]:
    lines = []
    for name, c in comparison.contestants.items():
        count = len(c.tuning.trials)
        line = f"{name}: {count} configurations tried"
        if c.widened:
            line += (
                f", {c.widened} of them beyond the first grid, which the choice lay on an edge of"
            )
        if c.at_edge:
            line += "; the choice still lies on an edge, a better one may lie beyond"
        diverged = int((c.tuning.status == "diverged").any(axis=1).sum())
        if diverged:
            line += f"; {diverged} diverged on some seed"
        lines.append(line)
    return lines


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lropt_jax.comparisons", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html")
