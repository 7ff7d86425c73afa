"""The page that helps to choose: by what there is to compute with, and by what the trouble is."""

from collections.abc import Iterator

from docs._losses import NOTE, anchor, cell, link

from lossd.losses import CATALOG, TOPICS, LossSpec, topics_of

# A loss is under the first of these of whose inputs it has one: special ones come first.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Weights of a model", ("weights",)),
    ("Gradients of a model", ("input_gradients", "gradient_norms")),
    ("Boxes", ("boxes", "target_boxes")),
    ("Outputs of a teacher and a student", (
        "student_logits", "teacher_logits", "student_scores", "teacher_scores", "student",
        "teacher", "student_features")),
    ("Preferred and rejected answers", (
        "chosen_log_probabilities", "rejected_log_probabilities", "chosen_rewards",
        "rejected_rewards", "reference_log_probabilities", "desirable")),
    ("Actions and what came of them", (
        "advantages", "rewards", "returns", "old_log_probabilities", "actions")),
    ("Clean and perturbed outputs, or those of a discriminator", (
        "clean_logits", "adversarial_logits", "is_real", "real_scores", "fake_scores")),
    ("Embeddings", (
        "embeddings", "left", "right", "queries", "keys", "anchors", "anchor", "proxies",
        "distances", "similarities", "features", "centers")),
    ("Scores of lists", ("relevance", "relevances", "list_lengths", "lengths", "segments")),
    ("Times and whether the event was seen", ("times", "events", "durations")),
    ("Parameters of a distribution of the target", (
        "location", "scale", "log_scale", "mixture_logits", "zero_logits", "evidence")),
    ("Losses of items or groups", ("losses",)),
    ("Numbers to predict", ("prediction", "predictions", "mean", "rate", "quantiles")),
    ("Logits of classes and a label", ("logits",)),
    ("Probabilities or their logarithms", (
        "log_probabilities", "probabilities", "p", "q", "log_p", "log_q", "p_logits")),
    ("Scores", ("scores", "first", "second", "positive_scores", "negative_scores")),
)  # fmt: skip
INTRODUCTION = """\
By [what there is](#what-there-is), and by [what the trouble is](#what-the-trouble-is). Made from
what each loss says of itself; all of it is in [losses.md](losses.md). `GET /v1/losses?search=` and
`lossd losses --search` find the same words."""
OTHER = "Something else"
MULTILABEL = "Logits of yes-or-no answers"


def kind_of(spec: LossSpec) -> str:
    """What somebody has who can compute a loss."""
    if "logits" in spec.inputs and "classes" not in spec.inputs["logits"].dims:
        return MULTILABEL
    for kind, names in KINDS:
        if any(name in spec.inputs for name in names):
            return kind
    return OTHER


def page() -> str:
    parts = [NOTE, "# Choosing a loss", ""]
    parts += [INTRODUCTION, ""]
    parts += ["## What there is", ""]
    kinds = [*(kind for kind, _ in KINDS), MULTILABEL, OTHER]
    for kind in kinds:
        parts += _table(
            kind, [spec for _, spec in sorted(CATALOG.items()) if kind_of(spec) == kind]
        )
    parts += ["## What the trouble is", ""]
    listed = [topic for topic in TOPICS if any(topic in topics_of(x) for x in CATALOG.values())]
    parts += ["| topic | trouble |", "|---|---|"]
    parts += [f"| [{each.name}](#{anchor(each.name)}) | {each.trouble} |" for each in listed]
    parts.append("")
    for topic in listed:
        having = [spec for _, spec in sorted(CATALOG.items()) if topic in topics_of(spec)]
        parts += _table(topic.name, having)
    return "\n".join(parts)


def _table(heading: str, specs: list[LossSpec]) -> Iterator[str]:
    if not specs:
        return
    yield from (f"### {heading}", "", "| loss | takes | use |", "|---|---|---|")
    for spec in specs:
        needed = [name for name, each in spec.inputs.items() if not each.optional]
        chosen = [" or ".join(f"`{name}`" for name in names) for names in spec.exactly_one_of]
        takes = ", ".join([*(f"`{name}`" for name in needed), *chosen])
        yield f"| {link(spec)} | {takes} | {cell(spec.card.use)} |"
    yield ""
