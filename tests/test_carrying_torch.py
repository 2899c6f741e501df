"""A state_dict of PyTorch goes on here: stored ones, and what is refused, without torch."""

from __future__ import annotations

import copy
import json
import pathlib
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import lropt_jax as lr
from lropt_jax import adam, adamw, amsgrad, from_torch, rmsprop, set_hyperparams, sgd, to_torch
from tests.golden.carrying_cases import CASES

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "carrying.json").read_text())
NAMES: list[Any] = [("dense/kernel", (1, 0)), "dense/bias"]


def _arrays(x: Any) -> Any:
    """What `torch.load` gives, with arrays for tensors."""
    state = {int(i): {k: np.asarray(v) for k, v in held.items()} for i, held in x["state"].items()}
    return {"state": state, "param_groups": copy.deepcopy(x["param_groups"])}


def _ours(pair: Any) -> Any:
    return {"dense": {"kernel": jnp.array(np.transpose(pair[0])), "bias": jnp.array(pair[1])}}


PARAMS = _ours([np.zeros((3, 2)), np.zeros(3)])


def _adam_dict(**group: Any) -> Any:
    state_dict = _arrays(GOLDEN["adam"]["state_dict"])
    state_dict["param_groups"][0].update(group)
    return state_dict


def _quiet(*args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_torch(*args, **kwargs)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", CASES)
def test_a_stored_run_of_pytorch_goes_on(name: str) -> None:
    golden, tx = GOLDEN[name], CASES[name].ours()
    params = _ours(golden["params"])
    state = _quiet(tx, params, _arrays(golden["state_dict"]), NAMES)
    for both in GOLDEN["gradients"][3:]:
        updates, state = tx.update(_ours(both), state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-10),
        params,
        _ours(golden["end"]),
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", CASES)
def test_the_way_back_gives_the_stored_state_dict(name: str) -> None:
    golden, tx = GOLDEN[name], CASES[name].ours()
    params, stored = _ours(golden["params"]), _arrays(golden["state_dict"])
    count = 3 if name == "sgd" else None
    back = to_torch(tx, params, from_torch(tx, params, stored, NAMES, count=count), NAMES)
    (group,), (expected,) = back["param_groups"], stored["param_groups"]
    assert set(group) == set(expected)
    for key, value in expected.items():
        assert group[key] == pytest.approx(value if value is None else np.asarray(value).tolist())
    for i, held in stored["state"].items():
        assert set(back["state"][i]) == set(held)
        for key, value in held.items():
            there = np.sign(value) if key == "prev" else value  # Rprop needs its sign alone
            np.testing.assert_allclose(np.asarray(back["state"][i][key]), there, atol=1e-12)


def test_the_state_has_the_structure_and_dtypes_of_a_fresh_one() -> None:
    tx = adam(0.1, 0.8, 0.9)
    state, fresh = from_torch(tx, PARAMS, _adam_dict(), NAMES), tx.init(PARAMS)
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    jax.tree.map(lambda a, b: (a.dtype, a.weak_type) == (b.dtype, b.weak_type), state, fresh)
    assert float(state.inner_state.b1_product) == pytest.approx(0.8**3)
    assert float(state.inner_state.b2_product) == pytest.approx(0.9**3)
    step = jax.jit(tx.update)
    for given in (fresh, state):
        step(PARAMS, given, PARAMS)
    assert step._cache_size() == 1


def test_a_schedule_goes_on_where_pytorch_was() -> None:
    tx = adam(lr.linear(1.0, 0.0, 10), 0.8, 0.9)
    with pytest.warns(UserWarning, match=r"learning_rate is 0\.7, there 0\.1"):
        state = from_torch(tx, PARAMS, _adam_dict(), NAMES)
    assert float(lr.hyperparams(state)["learning_rate"]) == pytest.approx(0.7)
    assert _quiet(tx, PARAMS, _adam_dict(lr=0.7), NAMES).count == 3

    momentum = _arrays(GOLDEN["sgd"]["state_dict"])
    momentum["param_groups"][0]["lr"] = 0.7
    tx = sgd(lr.linear(1.0, 0.0, 10), momentum=0.9)
    assert _quiet(tx, PARAMS, momentum, NAMES, count=3).count == 3
    with pytest.raises(ValueError, match="count must be > 0 where there is momentum, got 0"):
        from_torch(tx, PARAMS, momentum, NAMES, count=0)
    with pytest.warns(UserWarning, match="SGD does not say its count.*give count="):
        assert from_torch(tx, PARAMS, momentum, NAMES).count == 0


def test_numbers_that_differ_are_named_in_one_warning() -> None:
    tx = adam(0.2, 0.8, 0.95, l2=0.3)
    with pytest.warns(UserWarning, match="from_torch") as caught:
        state = from_torch(tx, PARAMS, _adam_dict(), NAMES)
    (warning,) = caught
    said = str(warning.message)
    assert "learning_rate is 0.2, there 0.1" in said
    assert "b2 is 0.95, there 0.9" in said
    assert "l2 is 0.3, there 0" in said
    assert "b1" not in said
    assert "eps" not in said
    assert warning.filename == __file__
    assert float(lr.hyperparams(state)["learning_rate"]) == pytest.approx(0.2)
    # The moments were made with PyTorch's beta.
    assert float(state.inner_state.b2_product) == pytest.approx(0.9**3)


def test_adam_and_adamw_are_told_apart_by_their_decay() -> None:
    decoupled = _arrays(GOLDEN["adamw"]["state_dict"])
    with pytest.warns(UserWarning, match=r"l2 is 0\.2, there 0; weight_decay is None, there 0\.2"):
        from_torch(adam(0.1, l2=0.2), PARAMS, decoupled, NAMES)
    del decoupled["param_groups"][0]["decoupled_weight_decay"]  # before PyTorch 2.7
    _quiet(adam(0.1, l2=0.2), PARAMS, decoupled, NAMES)
    _quiet(adamw(0.1, weight_decay=0.2), PARAMS, decoupled, NAMES)


def test_how_pytorch_computes_does_not_matter() -> None:
    how = {"foreach": True, "fused": True, "capturable": True, "differentiable": True}
    state_dict = _adam_dict(**how)
    for held in state_dict["state"].values():
        held["step"] = np.asarray([held["step"]], np.float32).reshape(())
    assert _quiet(adam(0.1, 0.8, 0.9), PARAMS, state_dict, NAMES).count == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s[0].pop("exp_avg_sq"), r"no exp_avg_sq for 'dense/kernel' \(PyTorch's .* 0\)"),
        (lambda s: s[1].pop("step"), r"no step for 'dense/bias' \(PyTorch's parameter 1\)"),
        (lambda s: s[1].pop("exp_avg"), r"no exp_avg for 'dense/bias'"),
        (lambda s: s[1].update(exp_avg=None), r"no exp_avg for 'dense/bias'"),
        (lambda s: s.pop(1), r"nothing for 'dense/bias' \(PyTorch's parameter 1\)"),
        (lambda s: [s[i].update(step=0) for i in s], r"step is 0, but exp_avg of 'dense/kernel'"),
        (lambda s: s[1].update(step=2), r"one step, got 3 for 'dense/kernel' and 2 for 'dense/bi"),
        (lambda s: s[1].update(step=-1), r"step of 'dense/bias' .* a whole number >= 0, got -1"),
        (lambda s: s[1].update(step=2.5), r"step of 'dense/bias' .* a whole number >= 0, got 2\.5"),
        (
            lambda s: s[0].update(exp_avg=np.zeros((2, 2))),
            r"'dense/kernel' .* \(2, 3\), got exp",
        ),
        (lambda s: s[1].update(exp_avg_sq=np.zeros(4)), r"exp_avg_sq of shape \(4,\)"),
        (lambda s: s.update({7: s[1]}), r"state holds the parameters \[7\]"),
    ],
)
def test_a_state_that_is_not_whole_is_refused(change: Any, words: str) -> None:
    state_dict = _adam_dict()
    change(state_dict["state"])
    with pytest.raises(ValueError, match=words):
        from_torch(adam(0.1, 0.8, 0.9), PARAMS, state_dict, NAMES)


def test_one_that_pytorch_did_not_begin_is_a_fresh_one() -> None:
    tx, state_dict = adam(0.1, 0.8, 0.9), {**_adam_dict(), "state": {}}
    jax.tree.map(
        np.testing.assert_array_equal, _quiet(tx, PARAMS, state_dict, NAMES), tx.init(PARAMS)
    )
    with pytest.raises(ValueError, match="no state yet, but count is 3"):
        from_torch(tx, PARAMS, state_dict, NAMES, count=3)
    with pytest.raises(ValueError, match="count is 4, but the state_dict's step is 3"):
        from_torch(tx, PARAMS, _adam_dict(), NAMES, count=4)


@pytest.mark.parametrize(
    ("name", "tx", "words"),
    [
        ("adam", lambda: amsgrad(0.1), "amsgrad must be the same.*amsgrad=False in.*True here"),
        ("amsgrad", lambda: adam(0.1), "amsgrad must be the same.*amsgrad=True in.*False here"),
        ("amsgrad", lambda: amsgrad(0.1, bias_correction=False), "bias_correction must be True"),
        ("rmsprop", lambda: rmsprop(0.1, momentum=0.8), "centered must be .*True in.*False here"),
        ("sgd", lambda: sgd(0.1, momentum=0.9, nesterov=True), "nesterov must be .*False in"),
        ("adam", lambda: sgd(0.1, momentum=0.9), r"one of torch.optim.Adam, but tx .* from SGD"),
        ("adam", lambda: sgd(0.1), r"one of torch.optim.Adam, but tx .* from SGD"),
        ("rmsprop", lambda: adam(0.1), r"one of torch.optim.RMSprop, but tx .* from Adam"),
        ("adam", lambda: lr.lamb(0.1), "tx must be one of sgd.*, got lamb"),
        ("adam", lambda: lr.tunable(optax.adam)(0.1), "must hold nothing but .*ScaleByAdamState"),
        ("adam", lambda: optax.adam(0.1), "holds no tunable optimizer"),
        ("adam", lambda: optax.chain(adam(0.1), optax.ema(0.9)), "nothing but .*EmaState"),
    ],
)
def test_what_does_not_match_is_refused(name: str, tx: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_torch(tx(), PARAMS, _arrays(GOLDEN[name]["state_dict"]), NAMES)


def test_maximize_is_refused() -> None:
    with pytest.raises(ValueError, match="maximize must be False in the state_dict, got True"):
        from_torch(adam(0.1), PARAMS, _adam_dict(maximize=True), NAMES)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["dense/kernel", "dense/bias"],
            r"\(2, 3\), got exp_avg of shape \(3, 2\); give \(pa",
        ),
        ([("dense/kernel", (1, 0))], "each of PyTorch's 2 parameters, got 1"),
        ([("dense/kernel", (1, 0)), "dense/bia"], "'dense/bia' is no path.*did you mean 'dense/b"),
        ([("dense/kernel", (1, 0)), "dense/kernel"], "'dense/kernel' is given twice, at 0 and 1"),
        ([("dense/kernel", (1, 2)), "dense/bias"], r"axes of 'dense/kernel' .* got \(1, 2\)"),
        ([("dense/kernel", 1), "dense/bias"], r"names must hold paths.*got \('dense/kernel', 1\)"),
        ([3, "dense/bias"], "names must hold paths.*got 3"),
        ("dense/kernel", "names must be a sequence"),
        ({"dense/kernel": 0}, "names must be a sequence"),
    ],
)
def test_names_that_do_not_fit_are_refused(names: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_torch(adam(0.1, 0.8, 0.9), PARAMS, _adam_dict(), names)


def test_parameters_that_have_no_name_are_named() -> None:
    state_dict = _adam_dict(params=[0])
    del state_dict["state"][1]
    with pytest.raises(ValueError, match="names must also give 'dense/bias', which tx trains"):
        from_torch(adam(0.1, 0.8, 0.9), PARAMS, state_dict, NAMES[:1])


@pytest.mark.parametrize("given", [None, 3, {}, {"state": {}}, [("state", {})]])
def test_what_is_no_state_dict_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"state_dict must be what optimizer\.state_dict"):
        from_torch(adam(0.1), PARAMS, given, NAMES)


def _two_groups() -> Any:
    state_dict = _adam_dict()
    (group,) = state_dict["param_groups"]
    state_dict["param_groups"] = [{**group, "params": [0]}, {**group, "lr": 0.01, "params": [1]}]
    return state_dict


def _partition(**labels: str) -> Any:
    parts = {"body": adam(0.1, 0.8, 0.9), "head": adam(0.01, 0.8, 0.9)}
    return optax.partition(parts, {"dense": labels})


def test_several_param_groups_need_a_partition() -> None:
    state = _quiet(_partition(kernel="body", bias="head"), PARAMS, _two_groups(), NAMES)
    assert [int(x.inner_state.count) for x in state.inner_states.values()] == [3, 3]
    with pytest.raises(ValueError, match=r"2 param groups: give tx as an optax\.partition"):
        from_torch(adam(0.1, 0.8, 0.9), PARAMS, _two_groups(), NAMES)
    with pytest.warns(UserWarning, match=r"body: .*0\.1, there 0\.01; head: .*0\.01, there 0\.1"):
        from_torch(_partition(kernel="head", bias="body"), PARAMS, _two_groups(), NAMES)
    with pytest.raises(ValueError, match=r"head: .*several param groups \(\[0, 1\]\)"):
        from_torch(_partition(kernel="head", bias="head"), PARAMS, _two_groups(), NAMES)


def test_what_is_frozen_here_must_not_have_trained_there() -> None:
    parts = {"body": adam(0.1, 0.8, 0.9), "frozen": optax.set_to_zero()}
    tx = optax.partition(parts, {"dense": {"kernel": "body", "bias": "frozen"}})
    with pytest.raises(ValueError, match=r"does not train 'dense/bias' .* has a state"):
        from_torch(tx, PARAMS, _adam_dict(), NAMES)
    state_dict = _adam_dict()
    del state_dict["state"][1]
    assert lr.hyperparams(_quiet(tx, PARAMS, state_dict, NAMES))["b1"] == np.float32(0.8)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: lr.accumulate(tx, 2),
        lambda tx: optax.apply_if_finite(tx, 3),
        lambda tx: optax.chain(tx, optax.scale_by_schedule(lambda count: 1.0)),
        lambda tx: optax.masked(tx, {"dense": True}),
    ],
)
def test_what_is_around_the_optimizer_has_counted_too(wrapped: Any) -> None:
    tx = wrapped(adam(0.1, 0.8, 0.9))
    state = _quiet(tx, PARAMS, _adam_dict(), NAMES)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    counts = {
        path[-1].name: int(leaf)
        for path, leaf in leaves
        if getattr(path[-1], "name", "") in ("count", "gradient_step", "updates")
    }
    assert counts
    assert set(counts.values()) == {3}
    tx.update(PARAMS, state, PARAMS)


def test_layers_with_rates_of_their_own() -> None:
    tx = lr.by_layer(lambda learning_rate: adam(learning_rate, 0.8, 0.9), 0.1, order=["dense"])
    state = from_torch(tx, PARAMS, _adam_dict(), NAMES)
    moments = jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "nu"))
    assert any(hasattr(m, "nu") and float(m.b1_product) == np.float32(0.8**3) for m in moments)


@pytest.mark.parametrize(
    ("tx", "words"),
    [
        (lambda: sgd(0.1, weight_decay=0.2), "weight_decay must be 0 where PyTorch has no decoupl"),
        (lambda: adamw(0.1, l2=0.2), "weight_decay must be 0 where"),
        (lambda: adamw(0.1, independent_decay=True), "weight_decay must be 0 where"),
        (lambda: adamw(0.1, mask="no_bias_norm"), "mask must be None, got 'no_bias_norm'"),
        (lambda: adamw(0.1, mask=lambda p: True), "mask must be None"),
        (lambda: amsgrad(0.1, bias_correction=False), "bias_correction must be True"),
        (lambda: lr.lamb(0.1), "must be one of sgd.*, got lamb"),
        (lambda: lr.by_layer(adam, 0.1), "nothing|one rate for a param group"),
    ],
)
def test_what_pytorch_does_not_have_is_not_written(tx: Any, words: str) -> None:
    made = tx()
    params = {"dense": PARAMS["dense"], "other": jnp.ones(2)}
    with pytest.raises(ValueError, match=words):
        to_torch(made, params, made.init(params), [*NAMES, "other"])


def test_a_beta_that_was_changed_on_the_way_is_said() -> None:
    tx = adam(0.1)
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_torch(tx, PARAMS, state, NAMES)
    state = set_hyperparams(state, b1=0.5)
    with pytest.warns(UserWarning, match=r"b1_product is 0\.729, there .* 0\.125"):
        written = to_torch(tx, PARAMS, state, NAMES)
    assert written["param_groups"][0]["betas"][0] == 0.5


def test_a_population_is_not_one_state() -> None:
    tx = adam(0.1)
    many = jax.vmap(lambda _: tx.init(PARAMS))(jnp.arange(2))
    with pytest.raises(ValueError, match=r"state must be of one run, got \(2,\)"):
        to_torch(tx, PARAMS, many, NAMES)


def test_names_of_nnx_and_of_equinox() -> None:
    tx = adam(0.1, 0.8, 0.9)
    module = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    params = nnx.state(nnx.Dict(dense=module), nnx.Param)
    state = _quiet(tx, params, _adam_dict(), NAMES)
    stored = _adam_dict()["state"][0]["exp_avg"]
    found = state.inner_state.mu["dense"]["kernel"]
    np.testing.assert_allclose(found, stored.T, rtol=1e-6)

    linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))  # in PyTorch's layout
    state = _quiet(tx, eqx.filter(linear, eqx.is_array), _adam_dict(), ["weight", "bias"])
    np.testing.assert_allclose(state.inner_state.mu.weight, stored, rtol=1e-6)
    state = _quiet(tx, [jnp.zeros((3, 2)), jnp.zeros(3)], _adam_dict(), ["0", "1"])
    np.testing.assert_allclose(state.inner_state.mu[0], stored, rtol=1e-6)
