"""What a reader, a type checker and an editor learn of an optimizer's arguments."""

from __future__ import annotations

import inspect
import pathlib
import textwrap

import pytest

import lropt_jax
from lropt_jax import OPTIMIZERS

ROOT = pathlib.Path(lropt_jax.__file__).parents[1]
DECAYS = {"l2", "weight_decay", "mask", "independent_decay"}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_signatures_and_docstrings_name_every_argument(name):
    parameters = inspect.signature(OPTIMIZERS[name]).parameters
    assert set(parameters) >= {"learning_rate"} | DECAYS
    kinds = {p.kind for p in parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    for argument in parameters:
        assert OPTIMIZERS[name].__doc__.count(f"\n  {argument}: ") == 1, argument


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_an_editor_knows_the_decays(name):
    jedi = pytest.importorskip("jedi")
    project = jedi.Project(str(ROOT))
    source = f"import lropt_jax\nlropt_jax.{name}("
    (signature,) = jedi.Script(source, project=project).get_signatures()
    parameters = list(inspect.signature(OPTIMIZERS[name]).parameters)
    assert sorted(p.name for p in signature.params) == sorted(parameters)


@pytest.mark.slow
def test_mypy_knows_every_argument(tmp_path):
    api = pytest.importorskip("mypy.api")
    code = """
        from lropt_jax import adam, adamw, cosine_decay, lars, one_cycle, schedule, sgd, tunable

        adam(1e-3, weight_decay=0.1)
        adam(cosine_decay(0.1, 100), 0.9, l2=0.1, mask=None, independent_decay=True)
        adamw(1e-3, weight_decay=None)
        lars(0.1, weight_decay=0.1, mask=None)
        sgd(0.1, momentum=0.9, nesterov=True).init({})
        one_cycle(0.1, total_steps=100)
        adam(1e-3, weigth_decay=0.1)  # refused
        adam()  # refused
        sgd(0.1, nesterov="yes")  # refused
        cosine_decay(0.1)  # refused
        cosine_decay(0, 0.1, steps=100)  # refused
        one_cycle(0.1, 100, anneal="sine")  # refused

        @schedule
        def mine(count: float, rate: float) -> float:
            return rate * count

        mine(0.1)(3)
        mine(3, 0.1)  # refused
    """
    file = pathlib.Path(tmp_path) / "user.py"
    file.write_text(textwrap.dedent(code))
    wanted = [i for i, line in enumerate(file.read_text().splitlines(), 1) if "# refused" in line]
    cache = tmp_path / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(ROOT))
        out, _, _ = api.run([str(file), "--strict", "--config-file=", f"--cache-dir={cache}"])
    found = [int(x.split(":")[1]) for x in out.splitlines() if "user.py" in x and "error" in x]
    assert found == wanted, out
