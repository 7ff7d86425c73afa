"""What an audit is asked to do. Part of its state: only audits of one setup can be merged."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scores = Literal["logits", "probabilities"]
IssueRanking = Literal["posterior", "margin", "el2n", "self_confidence"]


class Setup(BaseModel):
    """Closed, immutable. The bounds say how much a state may hold, whatever it is fed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    scores: Scores = Field("logits", description="What a row of scores is.")
    classes: tuple[str, ...] | None = Field(None, description="Names of the classes, in order.")
    loss: str = Field("cross_entropy", description="A loss of the catalog whose rows stand alone.")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters.")
    metrics: tuple[str, ...] | None = Field(None, description="Which; None is the default ones.")
    slices: tuple[str, ...] = Field((), description="Columns whose values cut the rows.")
    has_ids: bool = Field(False, description="Whether rows carry ids, or else their numbers.")
    has_weights: bool = Field(False, description="Whether rows carry weights.")
    embedding_size: int | None = Field(None, ge=1, description="Features of the embeddings.")
    class_counts: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="Training items of each class, for the losses that weigh by them."
    )
    most_listed: int = Field(10_000, ge=1, le=10_000_000, description="Rows in a bounded list.")
    most_sampled: int = Field(65_536, ge=1, le=100_000_000, description="Rows of the sample.")
    most_slices: int = Field(1_000, ge=1, le=1_000_000, description="Values of a slice column.")
    calibration_bins: Literal[5, 10, 15, 20, 25, 30, 40, 50, 100] = Field(
        15, description="Bins of a calibration error that is given beside that of 15."
    )
    most_pairs: int = Field(100_000, ge=1, le=100_000_000, description="Of a sparse confusion.")
    dense_classes: int = Field(1_000, ge=1, le=20_000, description="Above, confusion is sparse.")
    issue_ranking: IssueRanking = Field("posterior", description="What sorts label issues.")
    issue_cells: int = Field(1 << 20, ge=1, le=1 << 26, description="Counters of label issues.")
    most_reviewed: int = Field(100, ge=1, le=100_000, description="Issues to show to a person.")
