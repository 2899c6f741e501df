"""What is made before the pages are read: pictures, a report to look at, copies of the notebooks.

What is in `docs/_pictures` already is kept; `rm -r docs/_pictures` makes all anew.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path


def draw(app):
    """What `gallery.md` and `range_test.md` show."""
    import matplotlib
    from matplotlib.figure import Figure

    import lropt_jax
    from lropt_jax.plotting.style import RC

    folder = Path(app.srcdir) / "_pictures"
    folder.mkdir(exist_ok=True)
    for name, make in lropt_jax.SCHEDULES.items():
        path = folder / f"schedule-{name}.svg"
        if not path.exists():
            with matplotlib.rc_context(RC):
                axes = Figure(figsize=(3.4, 2.0), layout="constrained").subplots()
                if name == "reduce_on_plateau":
                    axes.plot(_at_a_plateau(make))
                    axes.set_xlabel("observations")
                else:
                    lropt_jax.plot_schedules(make, ax=axes)
                    axes.legend_.remove()
                low, high = axes.get_ylim()
                axes.set(ylabel="", ylim=(min(low, -0.05 * high), high))
                axes.figure.savefig(path)
    for name, make in lropt_jax.OPTIMIZERS.items():
        path = folder / f"optimizer-{name}.png"
        if not path.exists():
            lropt_jax.plot_paths({name: make}).savefig(path)

    path = folder / "range_test.svg"
    if not path.exists():
        digits = lropt_jax.load_data("digits")
        task = lropt_jax.classification_task(lropt_jax.mlp((32, 10)), digits, batch_size=32)
        lropt_jax.lr_range_test(task, lropt_jax.adam).plot().savefig(path)


def report(app, error):
    """The report of `lropt compare --quick`, beside the pages."""
    from lropt_jax.cli import main

    page = Path(app.srcdir) / "_pictures" / "report" / "report.html"
    if app.builder.format == "html" and error is None:
        if not page.exists():
            with contextlib.redirect_stdout(io.StringIO()):
                main(["compare", "--quick", "--output", str(page.parent)])
        shutil.copy(page, Path(app.outdir) / "report.html")


def nest(app, name, source):
    """Each claim's page below their overview, whose rows are cards on a phone.

    The overview is written for readers without Sphinx, too.
    """
    if name == "reproductions/index":
        before, table = source[0].split("\n\n|", 1)
        source[0] = (
            f"{before}\n\n:::{{table}}\n:class: cards\n\n|{table.rstrip()}\n\n:::\n\n"
            "```{toctree}\n:hidden:\n:glob:\n\n*/index\n```\n"
        )


def _at_a_plateau(make):
    """What the schedule gives while a loss falls for a third of the time, and then no more."""
    import jax.numpy as jnp

    import lropt_jax

    state, rates = lropt_jax.sgd(make(0.1, factor=0.5, patience=10)).init(jnp.zeros(1)), []
    for count in range(80):
        rates.append(float(lropt_jax.hyperparams(state)["learning_rate"]))
        state = lropt_jax.observe(state, 1.0 / min(1 + count, 25))
    return rates


def copy_notebooks(app):
    """The executed notebooks, as pages."""
    source = Path(app.srcdir).parent / "notebooks"
    shutil.copytree(source, Path(app.srcdir) / "notebooks", dirs_exist_ok=True)


def setup(app):
    app.connect("builder-inited", draw)
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", nest)
    app.connect("build-finished", report)
    return {"parallel_read_safe": True}
