"""What is printed of tasks, data and optimizers: a few lines, in a notebook a table."""

from __future__ import annotations

import html.parser

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lr
from lropt_jax.progress import shown
from tests.problems import noisy_regression, regression


def table_of(thing):
    """The text of its HTML, once it is whole: every tag that opens closes."""

    class Reader(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.text = [], []

        def handle_starttag(self, tag, attrs):
            self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

        def handle_data(self, data):
            self.text.append(data)

    reader = Reader()
    reader.feed(thing._repr_html_())
    assert reader.open == []
    return reader.text


def test_a_task_says_what_is_trained_on_what():
    assert repr(regression()) == (
        "Task of 40 train, 20 valid, 30 test examples, batches of 8, 5 updates an epoch\n"
        "  an example: x float32[3], y float32[]"
    )
    assert table_of(regression()) == [
        "Task of 40 train, 20 valid, 30 test examples, batches of 8, 5 updates an epoch",
        "an example",
        "x float32[3], y float32[]",
    ]
    task = noisy_regression()
    nested = lr.Task(
        task.init, task.loss, task.evaluate, [np.ones((9, 2)), {"a": np.ones(9)}], batch_size=3
    )
    assert "9 train examples" in repr(nested)
    assert "an example: 0 float32[2], 1/a float32[]" in repr(nested)


def test_a_data_set_says_what_is_in_it():
    data = lr.load_data("digits")
    assert (
        repr(data)
        == str(data)
        == (
            "Dataset of 1,257 train, 180 valid, 360 test examples\n"
            "  an example: x float32[64], y int32[]"
        )
    )
    assert table_of(data)[0].startswith("Dataset of 1,257 train")


@pytest.mark.parametrize("name", lr.OPTIMIZERS)
def test_an_optimizer_prints_as_its_call(name):
    tx = lr.OPTIMIZERS[name](lr.cosine_decay(0.1, 100))
    words = repr(tx)
    assert words.startswith(f"{name}(learning_rate=cosine_decay(init_value=0.1, decay_steps=100")
    assert "0x" not in words
    assert len(words) < 300
    again = eval(words, {**vars(lr), "inf": np.inf})
    assert repr(again) == words
    # And is the same optimizer.
    params, grads = {"w": jnp.array([1.0, -2.0])}, {"w": jnp.array([0.3, 0.1])}
    steps = [t.update(grads, t.init(params), params)[0]["w"] for t in (tx, again)]
    np.testing.assert_array_equal(*steps)


def test_what_is_no_number_is_shown_where_it_says_something():
    sgd = lr.sgd(0.1, momentum=0.9, nesterov=True, mask={"w": True})
    numbers = "learning_rate=0.1, momentum=0.9, dampening=0"
    assert repr(sgd) == f"sgd({numbers}, nesterov=True, mask=<dict>)"
    lion = lr.tunable(optax.lion)(optax.linear_schedule(0.1, 0.0, 10))
    assert repr(lion).startswith("lion(learning_rate=")
    assert "0x" not in repr(lion)
    mine = lr.tunable(lambda peak: lr.sgd(lr.linear(peak, 0.0, 10)))(0.5)
    assert repr(mine) == "optimizer(peak=0.5)"
    assert "[0.1, 0.2" in repr(lr.adam(lr.constant(jnp.array([0.1, 0.2]))))
    said = []
    jax.vmap(lambda rate: said.append(repr(lr.adam(rate))) or rate)(jnp.ones(3))
    assert said[0].startswith("adam(learning_rate=")  # a tracer has no value to show
    assert repr(lr.adam(0.1)._replace(init=None)).endswith("()")


def test_a_table_is_escaped():
    @shown
    class Thing:
        def _about(self):
            return "a <b>title</b>", {"<lambda>": "1 & 2"}

    assert repr(Thing()) == "a <b>title</b>\n  <lambda>: 1 & 2"
    assert "<b>" not in Thing()._repr_html_()
    assert table_of(Thing()) == ["a <b>title</b>", "<lambda>", "1 & 2"]


def test_results_say_what_ran_what_came_out_and_how_to_go_on():
    task = regression()
    moment = next(iter(lr.train(task, lr.sgd(0.1), 10, eval_every=5)))
    fit = lr.fit(task, lr.sgd(0.1), 10)
    sweep = lr.sweep(task, lr.sgd, {"learning_rate": [0.1, 0.2]}, steps=10, progress=False)
    test = lr.lr_range_test(task, lr.sgd, steps=10, seeds=2)
    for thing, words in (
        (moment, ("Moment after 5 updates, 4 parameters", "valid_loss")),
        (fit, ("Fit after 10 updates, 4 parameters", "valid_loss", "train_loss")),
        (sweep, ("SweepResult of 2 configurations x 1 seed: 2 finished", "Best valid_loss")),
        (test, ("RangeTest of 2 seeds, 10 rungs", "Go on with")),
    ):
        lines = repr(thing).splitlines()
        assert 2 <= len(lines) <= 8
        assert max(map(len, lines)) < 200
        cells = table_of(thing)
        assert cells[0] == lines[0]
        assert all(word in repr(thing) and word in " ".join(cells) for word in words)
