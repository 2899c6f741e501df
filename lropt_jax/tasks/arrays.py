"""The arrays of a split: what a person hands over, as arrays that JAX takes without a word."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def as_array(name: str, value: Any) -> Any:
    """Numbers as a NumPy array; an array of NumPy or JAX is itself.

    Taken is whatever NumPy takes: nested lists, tensors of other libraries that lie on the host,
    pandas' frames and series.

    Args:
      name: what errors call it ("x of train").
      value: the numbers.

    Raises:
      ValueError: for what does not become an array of numbers; it says why.
    """
    if isinstance(value, (np.ndarray, jax.Array)) and _holds_numbers(value):
        return value
    try:
        array = _of_table(value) if hasattr(value, "to_numpy") else np.asarray(value)
    except Exception as error:
        raise ValueError(
            f"{name} is a {_type_name(value)} that NumPy cannot read: {error} "
            "(give an array of numbers; of a torch tensor, tensor.detach().cpu().numpy())"
        ) from error
    if not _holds_numbers(array):
        raise ValueError(
            f"{name} must hold numbers, got {_type_name(value)} of {array.dtype}{_hint(value)}"
        )
    return array


def _holds_numbers(array: Any) -> bool:
    kinds = (jnp.number, jnp.bool_, jax.dtypes.prng_key)
    return any(jnp.issubdtype(array.dtype, kind) for kind in kinds)


def _of_table(value: Any) -> np.ndarray:
    """A frame or a series; where columns are of several kinds, in the widest of them."""
    kinds = {_kind(dtype) for dtype in _columns(value).values()}
    if not kinds or not kinds <= set("biuf"):
        return np.asarray(value)
    dtype = np.float64 if "f" in kinds else np.int64 if kinds - {"b"} else np.bool_
    mixed = np.asarray(value).dtype == object  # its own word for several kinds
    return np.asarray(value.to_numpy(dtype=dtype) if mixed else value)


def _columns(value: Any) -> dict[str, Any]:
    """The dtypes of a table's columns; of a series its one."""
    dtypes = getattr(value, "dtypes", None)
    if dtypes is not None and hasattr(dtypes, "items"):
        return {str(k): dtype for k, dtype in dtypes.items()}
    return {} if dtypes is None or isinstance(dtypes, list) else {"": dtypes}


def _kind(dtype: Any) -> str:
    return str(getattr(dtype, "kind", "O"))


def _hint(value: Any) -> str:
    """What to do about what holds no numbers."""
    bad = [k for k, dtype in _columns(value).items() if k and _kind(dtype) not in "biuf"]
    if bad:
        return f": columns {', '.join(bad)} hold none (pandas.get_dummies makes some)"
    if isinstance(value, (str, bytes)):
        text = "text.encode()" if isinstance(value, str) else "text"
        return f": numpy.frombuffer({text}, numpy.uint8) makes its bytes numbers"
    if np.ndim(value) == 1:
        return ": numpy.unique(labels, return_inverse=True) turns names into numbers"
    return ""


def as_split(name: str, split: Any) -> Any:
    """A split with its arrays in the dtypes that JAX keeps, so that nothing later converts them.

    JAX has 32 bits where `jax_enable_x64` is off, and says so each time that it shortens an
    array. Here they are shortened once.

    Args:
      name: the split's, for errors.
      split: a pytree of arrays.

    Raises:
      ValueError: for leaves that are no arrays with a leading axis, and for whole numbers that
        would wrap around.
    """
    leaves, structure = jax.tree.flatten(split)
    if not leaves:
        raise ValueError(f"{name} holds no arrays, got {split!r}")
    if not all(hasattr(x, "dtype") or hasattr(x, "__array__") for x in leaves):
        raise ValueError(_no_examples(name, split))
    arrays = [_shortened(name, as_array(name, x)) for x in leaves]
    if not all(x.ndim for x in arrays):
        raise ValueError(_no_examples(name, split))
    result = jax.tree.unflatten(structure, arrays)
    check_examples(name, result)
    return result


def check_examples(name: str, split: Any) -> None:
    """Raises `ValueError` unless the arrays of a split have the same number of examples, some."""
    sizes = {len(x) for x in jax.tree.leaves(split)}
    if len(sizes) > 1:
        raise ValueError(
            f"the arrays of {name} must have the same number of examples, got {shapes(split)}"
        )
    if sizes == {0}:
        raise ValueError(f"{name} is empty: it must hold at least one example")


def _no_examples(name: str, split: Any) -> str:
    found = f"{type(split).__name__}" if not jax.tree.leaves(split) else shapes(split)
    return f"{name} must be a pytree of arrays with a leading axis of examples, got {found}"


def _shortened(name: str, array: Any) -> Any:
    """An array of NumPy in the dtype that JAX would give it."""
    if isinstance(array, jax.Array):
        return array
    dtype = _jax_dtype(array.dtype)
    if array.dtype == dtype:
        return array
    if jnp.issubdtype(dtype, jnp.integer) and array.size:
        limits, low, high = np.iinfo(dtype), array.min(), array.max()
        if low < limits.min or high > limits.max:
            raise ValueError(
                f"{name} holds whole numbers from {low} to {high}, which {dtype} cannot hold: "
                "number them anew (numpy.unique(ids, return_inverse=True)), or set "
                "jax.config.update('jax_enable_x64', True)"
            )
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        raise ValueError(
            f"{name} holds numbers up to {np.abs(array).max():g}, which {dtype} cannot hold: "
            "scale them"
        ) from None


def shape_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """An abstract array, of the dtype that JAX gives to data of `dtype`."""
    return jax.ShapeDtypeStruct(shape, _jax_dtype(dtype))  # type: ignore[no-untyped-call]


def shapes(tree: Any) -> Any:
    """A tree's shapes and dtypes, for error messages and for comparing."""

    def describe(x: Any) -> str:
        if not hasattr(x, "shape"):
            return repr(x)
        return f"{x.dtype}[{','.join(map(str, x.shape))}]"

    return jax.tree.map(describe, tree)


def leaf_names(tree: Any) -> list[str]:
    """The leaves of a tree by their path: "dense/kernel"."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]


def _jax_dtype(dtype: Any) -> Any:
    return jnp.dtype(jax.dtypes.canonicalize_dtype(dtype))


def _type_name(value: Any) -> str:
    return f"{type(value).__module__.split('.')[0]}.{type(value).__qualname__}"
