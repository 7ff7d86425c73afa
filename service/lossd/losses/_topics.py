"""Topics: the troubles and tasks by which people look for a loss.

A loss is of a topic because its file says so, by its family, or by what its card says of its use.
"""

from dataclasses import dataclass

from lossd.losses._spec import LossSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic.

    - `trouble`: what somebody has who looks for it.
    - `families`: of which every loss is; `family/input` means those with that input.
    - `words`: parts of words that say so in a name, a summary, or the card's use.
    - `also`: other words that people search by.
    """

    name: str
    trouble: str
    families: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


TOPICS = (
    Topic(
        name="imbalance",
        trouble="some classes are rare",
        families=("imbalance",),
        words=("imbalance", "rare class", "long tail", "long-tail", "few positives"),
        also=("long tail", "rare classes", "unbalanced"),
    ),
    Topic(
        name="noise",
        trouble="some labels are wrong",
        families=("robust/labels",),
        words=("wrong label", "noisy label", "label noise", "labels are wrong", "mislabel"),
        also=("label noise", "noisy labels"),
    ),
    Topic(
        name="outliers",
        trouble="some numbers are far off",
        families=("robust/prediction",),
        words=("outlier", "heavy tail", "heavy-tail"),
        also=("robust regression",),
    ),
    Topic(
        name="calibration",
        trouble="probabilities must mean what they say",
        families=("calibration",),
        words=("calibrat", "overconfiden", "over-confiden", "proper scor"),
        also=("overconfidence",),
    ),
    Topic(
        name="uncertainty",
        trouble="a prediction must say how sure it is",
        families=("probabilistic",),
        words=("quantile", "interval", "uncertain", "predictive distribution"),
    ),
    Topic(
        name="counts",
        trouble="the target counts events, or is positive and skewed",
        words=("counts of events", "count data", "poisson", "deviance", "claims"),
    ),
    Topic(
        name="hard examples",
        trouble="most items are easy, and drown the others",
        words=("hard example", "hard item", "easy item", "few hard", "hard negative"),
        also=("mining",),
    ),
    Topic(
        name="multilabel",
        trouble="an item has any number of labels",
        words=("multilabel", "multi-label", "several labels"),
        also=("multi-label", "tagging"),
    ),
    Topic(
        name="ordinal",
        trouble="classes have an order",
        families=("ordinal",),
        words=("ordinal", "ordered class", "grades"),
    ),
    Topic(
        name="retrieval",
        trouble="near things must be found by their embeddings",
        families=("metric", "contrastive"),
        words=("retriev", "nearest neighbour", "face recognition", "verification"),
        also=("embeddings", "metric learning", "similarity search"),
    ),
    Topic(
        name="ranking",
        trouble="the order of a list matters, not its numbers",
        families=("ranking",),
        words=("ranking", "order of items", "ndcg", "relevance"),
        also=("learning to rank", "recommendation", "ndcg"),
    ),
    Topic(
        name="detection",
        trouble="objects must be found, with their boxes",
        families=("box",),
        words=("detector", "detection", "anchors of", "bounding box"),
        also=("boxes", "iou"),
    ),
    Topic(
        name="segmentation",
        trouble="every pixel has a class",
        families=("segmentation",),
        words=("segment", "masks of"),
        also=("masks", "dice"),
    ),
    Topic(
        name="distillation",
        trouble="a small model learns from a large one",
        families=("distillation",),
        words=("distil", "teacher"),
        also=("teacher", "student"),
    ),
    Topic(
        name="rlhf",
        trouble="a language model learns from preferences or rewards",
        families=("preference", "reinforcement"),
        words=("rlhf", "preference pair", "policy gradient"),
        also=("preference", "alignment", "reward", "policy gradient"),
    ),
    Topic(
        name="adversarial",
        trouble="inputs are perturbed on purpose, or a rival is trained",
        families=("adversarial",),
        words=("adversar", "perturb", "discriminator"),
        also=("attack", "gan", "robustness"),
    ),
    Topic(
        name="sequences",
        trouble="a sequence is read without its alignment",
        families=("sequence",),
        words=("transcri", "speech recognition"),
        also=("speech", "ctc"),
    ),
    Topic(
        name="survival",
        trouble="some events have not happened yet",
        families=("survival",),
        words=("surviv", "censor", "hazard"),
    ),
    Topic(
        name="sparsity",
        trouble="most weights or probabilities should be exactly 0",
        words=("sparse model", "sparse weight", "sparsity", "sparsemax", "exactly 0", "lasso",
               "exact zeros", "weights that are 0", "prune"),
        also=("sparse", "pruning", "feature selection"),
    ),
    Topic(
        name="overfitting",
        trouble="the model learns its training set by heart",
        families=("regularization",),
        words=("overfit", "weight decay"),
        also=("weight decay", "regularisation", "penalty"),
    ),
    Topic(
        name="images",
        trouble="the output is an image",
        families=("image",),
        words=("super-resolution", "denoising", "image reconstruction"),
        also=("reconstruction", "super resolution"),
    ),
)  # fmt: skip


def topics_of(spec: LossSpec) -> tuple[Topic, ...]:
    """The topics of a loss, in the order of `TOPICS`."""
    said = " ".join((spec.name.replace("_", " "), spec.summary, spec.card.use))
    said = said.lower()
    return tuple(topic for topic in TOPICS if _is_of(spec, topic, said))


def _is_of(spec: LossSpec, topic: Topic, said: str) -> bool:
    if topic.name in spec.topics or any(word in said for word in topic.words):
        return True
    for each in topic.families:
        family, _, name = each.partition("/")
        if family == spec.family and (not name or name in spec.inputs):
            return True
    return False
