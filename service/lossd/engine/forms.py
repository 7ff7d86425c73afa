"""Smaller answers than a whole gradient: what each row's gradient comes down to."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lossd.schema import Call


def condense(
    call: Call, gradients: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The gradients that stay dense, and the others in the form that the call asks for.

    Inputs that have no rows (penalised weights, shared inputs) stay dense in every form. The others
    get the names that they are answered by.
    """
    if call.options.gradient_form in ("dense", "recipe"):
        return dict(gradients), {}
    dense: dict[str, Tensor] = {}
    condensed: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        has_rows = call.spec.inputs[name.partition("/")[0]].scope == "row"
        form = call.options.gradient_form if has_rows else "dense"
        if form == "row_norms":
            condensed[f"gradient_row_norms.{name}"] = _row_norms(gradient)
        elif form == "top_k":
            indices, values = _largest(gradient, call.options.gradient_top_k)
            condensed[f"gradient_top_k_indices.{name}"] = indices
            condensed[f"gradient_top_k_values.{name}"] = values
        else:
            dense[name] = gradient
    return dense, condensed


def recipe_of(call: Call, inputs: Mapping[str, Tensor], outer: Tensor) -> dict[str, Tensor]:
    """Two float64 numbers per item, in place of the gradient of the logits.

    They are the log-sum-exp of the item's logits, and the factor of p * sum(u) - u in its gradient
    (see `SoftmaxRecipe`); where the factor is 0 so is the gradient, whatever the other number is.
    """
    assert call.spec.recipe is not None
    arguments = call.arguments(inputs)
    factor = outer.double() * call.spec.recipe.slope(**arguments, params=call.params)
    with torch.no_grad():
        log_sum_exp = torch.logsumexp(arguments["logits"].double(), dim=1)
    return {
        "gradient_recipe_log_sum_exp.logits": log_sum_exp.masked_fill(factor == 0, 0.0),
        "gradient_recipe_factor.logits": factor,
    }


def _row_norms(gradient: Tensor) -> Tensor:
    dtype = torch.float64 if gradient.dtype == torch.float64 else torch.float32
    norms: Tensor = torch.linalg.vector_norm(_flat(gradient), dim=1, dtype=dtype)
    return norms


def _largest(gradient: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices into each flattened row, largest size first, ties by index; and the values there."""
    flat = _flat(gradient)
    order = flat.abs().sort(dim=1, descending=True, stable=True).indices
    indices = order[:, : min(k, flat.shape[1])].contiguous()
    return indices, flat.gather(1, indices)


def _flat(gradient: Tensor) -> Tensor:
    return gradient.reshape(gradient.shape[0], gradient[:1].numel() if len(gradient) else 0)
