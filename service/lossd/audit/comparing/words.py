"""What a comparison says, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from lossd.audit.metrics._words import percent, quoted

_DRIFTED = 0.25  # of the stability index, beyond what chance makes of it
_IDS = 5


def sentences(found: Mapping[str, Any]) -> list[str]:
    """The most important first."""
    return [
        *_of_pairing(found),
        *_of_accuracy(found),
        *_of_loss(found),
        *_of_groups(found),
        *_of_drift(found),
    ]


def _of_pairing(found: Mapping[str, Any]) -> Iterator[str]:
    pairing, rows = found["pairing"], found["rows"]
    if not pairing["paired"]:
        yield (
            f"The {rows['baseline']} rows of the baseline and {rows['candidate']} of the candidate"
            f" are compared as different rows: {pairing['reason']}."
        )
        return
    kind = "all that match" if pairing["complete"] else "a sample by hash"
    yield (
        f"{pairing['rows']} rows are the same in both by {pairing['by']} ({kind}), of"
        f" {rows['baseline']} in the baseline and {rows['candidate']} in the candidate;"
        f" {percent(pairing['jaccard'])} of all {pairing['by']} are in both."
    )
    if not pairing["covers"]:
        yield (
            "They do not stand for all rows of both, so that accuracy and loss are compared as of"
            " different rows."
        )
    if pairing["labels_differ"]:
        yield f"{pairing['labels_differ']} more have other labels now and are left out."


def _of_accuracy(found: Mapping[str, Any]) -> Iterator[str]:
    each = found["accuracy"]
    if each is None:
        return
    low, high = each["interval"]
    yield (
        f"Accuracy {_went(each['difference'])} from {_fine(each['baseline'])} % to"
        f" {_fine(each['candidate'])} %: by {_points(each['difference'])} points, {_points(low)} to"
        f" {_points(high)} at 95 %; a change of {_fine(each['minimum_detectable'])} points or more"
        " would be told from chance."
    )
    whole = found["all_rows"]["accuracy"]
    if each["paired"] and whole is not None and whole["rows"] != each["rows"]:
        before, after = _fine(whole["baseline"]), _fine(whole["candidate"])
        yield f"Of all rows of both, not of these alone, it went from {before} % to {after} %."
    flips = found["flips"]
    if flips is not None:
        lost, won = flips["right_to_wrong"], flips["wrong_to_right"]
        ids = ", ".join(str(each) for each in lost["ids"][:_IDS])
        such = f", such as {ids}" if ids else ""
        of = f"{lost['count']} of these {found['pairing']['rows']} rows"
        yield f"{of} went from right to wrong{such}; {won['count']} the other way."


def _of_loss(found: Mapping[str, Any]) -> Iterator[str]:
    each = found["loss"]
    if each is not None and each["interval"] is not None:
        low, high = each["interval"]
        yield (
            f"The mean loss {_went(each['difference'])} from {each['baseline']:.4g} to"
            f" {each['candidate']:.4g}: by {each['difference']:+.3g}, {low:+.3g} to {high:+.3g} at"
            " 95 %."
        )


def _of_groups(found: Mapping[str, Any]) -> Iterator[str]:
    named = {f"slice {quoted(column)}": each for column, each in found["slices"].items()}
    if found["per_class"] is not None:
        named["class"] = found["per_class"]
    for what, group in named.items():
        worse = [
            each
            for each in group["listed"]
            if each["accuracy"] is not None and each["accuracy"]["interval"][1] < 0
        ]
        if worse:
            worst = worse[0]
            name = str(worst.get("value", worst.get("class")))
            points = 100 * worst["accuracy"]["difference"]
            yield (
                f"Of {group['compared']} values of {what}, {len(worse)} lost accuracy beyond their"
                f" 95 % interval; the worst is {quoted(name)}, by {points:+.1f} points."
            )


def _of_drift(found: Mapping[str, Any]) -> Iterator[str]:
    named = {**found["drift"]}
    named |= {f"{name} classes": each for name, each in found["class_shares"].items()}
    for name, each in named.items():
        if each is not None and each["psi"] > _DRIFTED + each["psi_by_chance"]:
            yield (
                f"The distribution of {name} moved: a stability index of {each['psi']:.2f}, where"
                f" chance gives up to {each['psi_by_chance']:.2g}."
            )


def _went(change: float) -> str:
    return "rose" if change > 0 else "fell" if change < 0 else "stayed"


def _fine(share: float) -> str:
    return f"{100 * share:.2f}"


def _points(change: float) -> str:
    return f"{100 * change:+.2f}"
