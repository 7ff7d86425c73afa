"""Reference values by scikit-learn, whose loss classes give the gradient by the prediction."""

from typing import Any

import numpy as np


def sklearn_case(
    source: str,
    made: Any,
    inputs: dict[str, Any],
    params: dict[str, Any] | None = None,
    *,
    by: str = "prediction",
    factor: float = 1.0,
    shifts: bool = False,
    constant: bool = False,
) -> dict[str, Any]:
    """A case of `made`, a class of sklearn._loss, of the inputs `by` and `target`.

    `factor` is what its values are multiplied by, `constant` whether it leaves out what does not
    depend on the prediction; `shifts`: the gradient by the target is minus the other.
    """
    x, y = np.array(inputs[by], dtype=float), np.array(inputs["target"], dtype=float)
    values, slopes = made.loss_gradient(y_true=y.ravel(), raw_prediction=x.ravel())
    if constant:
        values = values + made.constant_to_optimal_zero(y.ravel())
    slopes = factor * slopes.reshape(x.shape)
    gradients = {by: slopes.tolist()} | ({"target": (-slopes).tolist()} if shifts else {})
    return {
        "from": source,
        "inputs": inputs,
        "params": params or {},
        "values": (factor * values.reshape(x.shape)).tolist(),
        "gradients": gradients,
    }
