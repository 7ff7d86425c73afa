"""SimSiam's and BYOL's loss: a prediction is to point where the other view's embedding does."""

from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from lossd.losses._catalog import loss
from lossd.losses._ops import direction
from lossd.losses._spec import Arg, Card, Example, LossParams


class NegativeCosineSimilarityParams(LossParams):
    """Parameters of `negative_cosine_similarity`."""

    form: Literal["negative_cosine", "squared_distance"] = Field(
        "negative_cosine", description="-cos (SimSiam), or 2 - 2 cos (BYOL)."
    )
    target_gradient: Literal["detached", "full"] = Field(
        "detached", description="Whether the target counts as constant, as in both papers."
    )


@loss(
    formula=r"-\frac{\langle p, z \rangle}{\lVert p \rVert \lVert z \rVert} \quad \text{or} \quad "
    r"2 - 2 \frac{\langle p, z \rangle}{\lVert p \rVert \lVert z \rVert}",
    source="Chen and He 2021, arXiv:2011.10566, eqs. 1 and 3; Grill et al. 2020, "
    "arXiv:2006.07733, eq. 2",
    units="cosine",
    card=Card(
        characteristics="Has no negatives. What keeps embeddings apart is that the target is "
        "constant and the prediction goes through a predictor.",
        use="Self-supervised pretraining at small batches: both views in turn, and their mean.",
        stability="Collapses if the target gets the gradient. A zero vector has cosine 0 and no "
        "gradient.",
        data="Two views of each row.",
    ),
    example=Example({"prediction": [[1.0, 0.0], [0.5, 0.5]], "target": [[0.8, 0.6], [0.0, 1.0]]}),
)
def negative_cosine_similarity(
    prediction: Annotated[
        Float[Tensor, "rows features"], Arg(doc="The predictor's output.", gradient=True)
    ],
    target: Annotated[
        Float[Tensor, "rows features"],
        Arg(doc="The other view's embedding; no gradient unless asked for.", gradient=True),
    ],
    *,
    params: NegativeCosineSimilarityParams,
) -> Float[Tensor, "rows"]:
    """-cosine of prediction and target, or the squared distance of their directions.

    Returns one value per row, from -1 to 1, or from 0 to 4.
    """
    wanted = target.detach() if params.target_gradient == "detached" else target
    cosine = (direction(prediction) * direction(wanted)).sum(1)
    return -cosine if params.form == "negative_cosine" else 2.0 - 2.0 * cosine
