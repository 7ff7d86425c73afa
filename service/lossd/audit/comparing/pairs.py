"""Rows of two audits that are the same, found by their ids."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.intervals import wilson
from lossd.audit.pieces import Kept
from lossd.audit.state import State

_LEAST = 2
_MOST_RELABELLED = {"row numbers": 0.01, "ids": 0.5}  # more are not the same rows
# What pairs must be to stand for all rows of both.
_LEAST_SHARE, _LEAST_PAIRS, _MOST_OTHER_LABELS = 0.95, 30, 0.05
_RELATED = 4.0  # in standard errors of a correlation of nothing


@dataclass(frozen=True, slots=True)
class Pairs:
    """Matching rows of a baseline and a candidate: where each is in the two samples.

    `reason` says why there are none; `note` is what a report says of the matching.
    """

    a: Kept | None
    b: Kept | None
    at_a: NDArray[np.int64]
    at_b: NDArray[np.int64]
    reason: str | None
    note: Mapping[str, Any]
    labels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None  # of all rows looked at

    @property
    def paired(self) -> bool:
        """Whether there are any."""
        return self.reason is None

    @property
    def covers(self) -> bool:
        """Whether they are nearly all rows of both, so that what is said of them is of both."""
        return self.paired and bool(self.note["covers"])

    def covered(self, classes: int) -> NDArray[np.bool_]:
        """Of which classes they are nearly all rows in both."""
        assert self.labels is not None
        n, a, b = (
            np.bincount(each, minlength=classes)
            for each in (self.columns("label")[0], *self.labels)
        )
        covered: NDArray[np.bool_] = n >= _LEAST_SHARE * np.maximum(a, b)
        return covered

    def columns(self, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """A column of the baseline's rows and of the candidate's."""
        assert self.a is not None and self.b is not None
        return self.a.column(name)[self.at_a], self.b.column(name)[self.at_b]

    @property
    def ids(self) -> NDArray[Any]:
        """Of the rows."""
        assert self.a is not None
        return self.a.ids[self.at_a]


def sample_of(state: State) -> Kept | None:
    """The rows with the lowest hashes of their ids; None where the audit has no sample."""
    found = state.pieces.get("sample", {}).get("rows")
    return found if isinstance(found, Kept) else None


def pair(a: State, b: State) -> Pairs:
    """Match rows of two audits.

    Two samples by hash hold all rows of each audit up to some hash; up to the lower of the two
    they are a fair sample of the ids of both. An id that comes twice matches nothing.
    """
    nowhere = np.empty(0, np.int64)
    of_a, of_b = sample_of(a), sample_of(b)
    reason = _obstacle(a, b, of_a, of_b)
    if reason is not None or of_a is None or of_b is None:
        return Pairs(of_a, of_b, nowhere, nowhere, reason, {"paired": False, "reason": reason})
    whole_a, whole_b = len(of_a) == a.rows, len(of_b) == b.rows
    ends = [
        each.column("key")[-1] for each, whole in ((of_a, whole_a), (of_b, whole_b)) if not whole
    ]
    # Of equal hashes at the end some rows may have been cut.
    in_a, in_b = (_within(each, min(ends) if ends else None) for each in (of_a, of_b))
    once_a, once_b = _once(of_a.ids, in_a), _once(of_b.ids, in_b)
    shared, i, j = np.intersect1d(of_a.ids[once_a], of_b.ids[once_b], True, True)
    at_a, at_b = once_a[i], once_b[j]
    order = np.argsort(at_a)
    at_a, at_b = at_a[order], at_b[order]
    same = of_a.column("label")[at_a] == of_b.column("label")[at_b]
    union = len(np.union1d(of_a.ids[in_a], of_b.ids[in_b]))
    unique_a, unique_b = len(np.unique(of_a.ids[in_a])), len(np.unique(of_b.ids[in_b]))
    common = unique_a + unique_b - union
    by = "ids" if a.setup.has_ids else "row numbers"
    shares = [common / max(unique_a, 1), common / max(unique_b, 1)]
    found = Pairs(
        of_a,
        of_b,
        at_a[same],
        at_b[same],
        None,
        {},
        (of_a.column("label")[in_a], of_b.column("label")[in_b]),
    )
    reason = _doubt(len(shared), int(same.sum()), by)
    if reason is None and by == "row numbers" and not _related(found):
        reason = (
            "rows have no ids, and how sure the two models are under the same row number is"
            " unrelated: other rows"
        )
    few = len(same) - same.sum() <= _MOST_OTHER_LABELS * len(same)
    enough = min(shares) >= _LEAST_SHARE and same.sum() >= _LEAST_PAIRS
    note = {
        "paired": reason is None,
        "reason": reason,
        "covers": bool(reason is None and few and enough),
        "by": by,
        "rows": int(same.sum()),
        "complete": whole_a and whole_b,
        "jaccard": common / union if union else None,
        "jaccard_interval": [common / union] * 2
        if union and whole_a and whole_b
        else wilson(common, union),
        "share_of_baseline": common / unique_a if unique_a else None,
        "share_of_candidate": common / unique_b if unique_b else None,
        "labels_differ": int(len(same) - same.sum()),
        "repeated_ids": int(len(in_a) - unique_a + len(in_b) - unique_b),
    }
    return dataclasses.replace(found, reason=reason, note=note)


def _obstacle(a: State, b: State, of_a: Kept | None, of_b: Kept | None) -> str | None:
    if of_a is None or of_b is None:
        which = "baseline" if of_a is None else "candidate"
        return f"the {which} was audited without the metric 'sample'"
    if a.setup.has_ids != b.setup.has_ids:
        return "one was audited with ids, the other by row numbers"
    if of_a.ids.dtype.kind != of_b.ids.dtype.kind:
        return "the ids of one are integers, of the other strings"
    return None


def _doubt(matching: int, alike: int, by: str) -> str | None:
    if matching < _LEAST or alike < _LEAST:
        return f"fewer than two rows have the same {by} and label in both"
    if matching - alike > _MOST_RELABELLED[by] * matching:
        if by == "ids":
            return "most rows of the same id have another label: other rows"
        return "rows have no ids, and labels under the same row number differ: other rows"
    return None


def _related(pairs: Pairs) -> bool:
    """Whether two models agree, within each label, on which rows are hard.

    Files of other rows may have equal labels under the same number, as where both are sorted.
    """
    labels = pairs.columns("label")[0]
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    within = []
    for predicted, sure in zip(
        pairs.columns("predicted"), pairs.columns("confidence"), strict=True
    ):
        x = np.where(predicted == labels, sure, -sure)
        within.append(x - (np.bincount(places, x) / counts)[places])
    x, y = within
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return bool(size > 0 and (x * y).sum() / size > _RELATED / np.sqrt(len(x)))


def _within(sample: Kept, end: Any) -> NDArray[np.int64]:
    keys = sample.column("key")
    return np.arange(len(keys)) if end is None else np.flatnonzero(keys < end)


def _once(ids: NDArray[Any], which: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the rows, those whose id no other of them has."""
    _, first, count = np.unique(ids[which], return_index=True, return_counts=True)
    alone: NDArray[np.int64] = which[first[count == 1]]
    return alone
