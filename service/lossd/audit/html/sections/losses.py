"""The losses of rows, and how sure the model was."""

from collections.abc import Mapping
from typing import Any

from lossd.audit.html import _numbers as numbers
from lossd.audit.html._caps import Caps
from lossd.audit.html._markup import Html, element
from lossd.audit.html._table import pairs, table
from lossd.audit.html.figures.histogram import histogram
from lossd.audit.html.sections._part import part, result, said
from lossd.audit.report import Report

_SHAPES = {
    "margin": "probability of the label less that of the best other class",
    "confidence": "largest probability",
    "entropy": "entropy, nats",
}


def losses(report: Report, caps: Caps) -> Html | None:
    """How the loss is spread over rows."""
    loss = result(report, "loss")
    if loss is None:
        return None
    name = caps.named(loss["loss"])
    quantiles = loss["quantiles"]
    sentence = _sentence(loss)
    marks = (("median", quantiles.get("0.5")), ("mean", loss["mean"]))
    drawn = histogram(
        "loss",
        f"Rows by loss ({name})",
        sentence,
        loss["histogram"],
        f"{name} of a row",
        marks,
        logarithmic=True,
    )
    rows = [
        ("Mean", numbers.number(loss["mean"])),
        ("95 % interval of the mean", numbers.between(loss["interval"])),
        ("Weighted mean", _defined(loss.get("weighted_mean"))),
        ("Standard deviation", numbers.number(loss["standard_deviation"])),
        ("Smallest", numbers.number(loss["minimum"])),
        *((f"{_share(key)} of rows below", numbers.number(quantiles[key])) for key in quantiles),
        ("Largest", numbers.number(loss["maximum"])),
        ("Infinite", numbers.count(loss["infinite"]) if loss["infinite"] else None),
    ]
    error = numbers.percent(loss["quantile_error"])
    note = element("p", f"Quantiles are off by {error} of themselves at most.", class_="cap")
    beside = element("div", pairs(rows), note)
    return part("losses", "Losses", said(sentence), element("div", drawn, beside, class_="two"))


def _share(key: str) -> str:
    return numbers.share_label(float(key))


def _defined(value: float | None) -> str | None:
    return None if value is None else numbers.number(value)


def _sentence(loss: Mapping[str, Any]) -> str:
    words = f"The mean loss is {numbers.number(loss['mean'])}"
    if loss["interval"] is not None:
        words += f" (95 % interval {numbers.between(loss['interval'])})"
    quantiles = loss["quantiles"]
    if quantiles.get("0.5") is not None:
        words += f"; half of the rows lie below {numbers.number(quantiles['0.5'])}"
    if quantiles.get("0.99") is not None:
        words += f", one in a hundred above {numbers.number(quantiles['0.99'])}"
    if loss["infinite"]:
        words += f"; the loss of {numbers.plural(loss['infinite'], 'row')} is infinite"
    return f"{words}."


def distributions(report: Report, caps: Caps) -> Html | None:
    """Margin, confidence and entropy."""
    found = result(report, "distributions")
    if found is None:
        return None
    drawn = [
        histogram(
            f"distribution-{name}",
            f"Rows by {name}",
            f"The mean {name} is {numbers.number(found[name]['mean'])}.",
            found[name]["histogram"],
            unit,
            (("median", found[name]["quantiles"].get("0.5")),),
        )
        for name, unit in _SHAPES.items()
        if name in found
    ]
    return part(
        "distributions",
        "How sure the model is",
        said(_sure(found)),
        element("div", *drawn, class_="many"),
    )


def _sure(found: Mapping[str, Any]) -> str:
    words = [
        f"the median {name} is {numbers.number(found[name]['quantiles'].get('0.5'), 3)}"
        for name in _SHAPES
        if name in found
    ]
    sentence = "; ".join(words)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def gradients(report: Report, caps: Caps) -> Html | None:
    """How large the gradients of rows are, and whose."""
    found = result(report, "gradients")
    if found is None:
        return None
    el2n, largest = found["el2n"], found["largest_shares"]
    sentence = (
        f"The mean length of a row's gradient by its logits is {numbers.number(el2n['mean'])}"
    )
    if largest and largest[0]["share"] is not None:
        name = caps.named(largest[0]["class"])
        sentence += f"; rows labelled {name} make {numbers.percent(largest[0]['share'])} of the sum"
    drawn = histogram(
        "gradient-length",
        "Rows by length of the gradient",
        f"{sentence}.",
        el2n["histogram"],
        "length of probabilities less one-hot label (EL2N)",
        (("median", el2n["quantiles"].get("0.5")),),
    )
    rows = [
        (caps.named(each["class"]), numbers.percent(each["share"]))
        for each in largest[: caps.confused]
    ]
    shares = table("Classes with the largest share of the sum", ("Label", "Share"), rows)
    beside = element("div", shares)
    figures = element("div", drawn, beside, class_="two")
    return part("gradients", "Gradients", said(f"{sentence}."), figures)
