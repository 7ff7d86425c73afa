"""Cross-entropy of logits over a temperature that is an input, so that it can be learned."""

from typing import Annotated

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._inputs import FiniteLogits, IgnorableLabels
from lossd.losses._ops import at_label, counted, is_ignored, log_softmax_counted
from lossd.losses._spec import Arg, Card, Example, LossParams


class TemperatureScaledCrossEntropyParams(LossParams):
    """Parameters of `temperature_scaled_cross_entropy`."""

    ignore_index: int | None = Field(None, description="Label of items that do not count.")


def weight_of_item(
    params: TemperatureScaledCrossEntropyParams, labels: Int[Tensor, "rows *spatial"]
) -> Tensor:
    """1 for an item that counts, 0 for an ignored one."""
    return counted(labels, params.ignore_index)


@loss(
    formula=r"-\log \operatorname{softmax}(z / T)_y",
    source="Guo et al. 2017, arXiv:1706.04599, section 4.2, temperature scaling",
    units="nats",
    weights=weight_of_item,
    card=Card(
        characteristics="Convex in the logits, and in 1 / T, of which the gradient is that of T "
        "times -T squared. Scaling does not change which class is predicted.",
        use="To fit the one number that calibrates a trained classifier, on held-out rows; or a "
        "temperature that is trained along.",
        stability="Only differences to the right class's logit are scaled, so the temperature's "
        "gradient keeps its digits. Step in log T, which stays above 0.",
        data="Held-out rows, as few as some hundred.",
    ),
    example=Example(
        {"logits": [[2.0, 0.5, -1.0], [0.1, 1.2, 0.3]], "labels": [0, 2], "temperature": 1.5}
    ),
)
def temperature_scaled_cross_entropy(
    logits: FiniteLogits,
    labels: IgnorableLabels,
    temperature: Annotated[
        Float[Tensor, ""], Arg(doc="T, what logits are divided by.", gradient=True, low=1e-6)
    ],
    *,
    params: TemperatureScaledCrossEntropyParams,
) -> Float[Tensor, "rows *spatial"]:
    """Minus the log of the probability of the right class at a temperature.

    Returns one value per item, in nats, >= 0, 0 where ignored.
    """
    ignored = is_ignored(labels, params.ignore_index)
    safe = labels.masked_fill(ignored, 0)
    ahead = logits - at_label(logits, safe).unsqueeze(1)
    log_p = log_softmax_counted(ahead / temperature, ignored)
    return -at_label(log_p, safe).masked_fill(ignored, 0.0)
