"""forward_correction, backward_correction, peer_loss, negative and complementary labels, ..."""

from typing import Any

import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from references._labelled import DIGITS, FAR, IGNORED, MASKED, NEAR, PIXELS, Z, by_hand, item_case
from references._mp import finish, log_softmax, number, row_case
from references._torch import labels, randoms, torch_case

IGNORING = {"ignore_index": -100}
NOISE = {"transition": [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.25, 0.25, 0.5]]}
MASKS = f"{DIGITS}: masks, an ignored row of -inf"
LARGE = f"{DIGITS}: logits to 1e4"


def forward_correction() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, transition: Any) -> Any:
        column = [row[labels] for row in number(transition)]
        log_p = log_softmax(logits)
        terms = [lp + mp.log(t) for lp, t in zip(log_p, column, strict=True) if t and lp != -mp.inf]
        top = max(terms)
        return -top - mp.log(sum(mp.exp(x - top) for x in terms))

    def theirs(logits: Any, labels: Any, transition: Any) -> Any:
        return F.nll_loss((torch.softmax(logits, 1) @ transition).log(), labels, reduction="none")

    def of_pixels(logits: Any, labels: Any, transition: Any) -> Any:
        mixed = torch.einsum("nkp,kl->nlp", torch.softmax(logits, 1), transition)
        return F.nll_loss(mixed.log(), labels, reduction="none")

    never = {"logits": [[0.0, "-Infinity", "-Infinity"]], "labels": [2]}
    name = "smooth: torch 2.13.0 F.nll_loss of softmax times the matrix"
    return [
        torch_case(name, theirs, NEAR | NOISE, wrt=Z, denominator=4.0),
        torch_case(f"{name}, by pixels", of_pixels, PIXELS | NOISE, wrt=Z, denominator=4.0),
        item_case(LARGE, f, FAR, {}, **NOISE),
        item_case(MASKS, f, MASKED, IGNORING, **NOISE),
        by_hand(
            "no way to the label", never | NOISE, {}, ["Infinity"], 1.0, logits=[[0.0, 0.0, 0.0]]
        ),
    ]


def backward_correction() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, transition: Any) -> Any:
        row = mp.inverse(mp.matrix(number(transition)))[labels, :]
        return -sum(row[k] * x for k, x in enumerate(log_softmax(logits)))

    def theirs(logits: Any, labels: Any, transition: Any) -> Any:
        inverse = torch.linalg.inv(transition)[labels]
        return F.cross_entropy(logits, inverse, reduction="none")

    name = "smooth: torch 2.13.0 F.cross_entropy with rows of the inverse as targets"
    return [
        torch_case(name, theirs, NEAR | NOISE, wrt=Z, denominator=4.0),
        item_case(LARGE, f, FAR, {}, **NOISE),
        item_case(f"{DIGITS}: an ignored row", f, IGNORED, IGNORING, **NOISE),
    ]


def peer_loss() -> list[dict[str, Any]]:
    peers = {"peer_logits": randoms(321, 4, 3), "peer_labels": [2, 0, 1, 1]}
    far = {"peer_logits": FAR["logits"][::-1], "peer_labels": FAR["labels"]}
    both = ("logits", "peer_logits")
    half = {"alpha": 0.5}

    def f(params: Any, logits: Any, labels: Any, peer_logits: Any, peer_labels: Any) -> Any:
        if peer_labels == params.get("ignore_index"):
            return -log_softmax(logits)[labels]
        bonus = mpf(params.get("alpha", 1.0)) * log_softmax(peer_logits)[peer_labels]
        return bonus - log_softmax(logits)[labels]

    def theirs(logits: Any, labels: Any, peer_logits: Any, peer_labels: Any) -> Any:
        own = F.cross_entropy(logits, labels, reduction="none")
        return own - F.cross_entropy(peer_logits, peer_labels, reduction="none")

    ignored = IGNORED | {"peer_logits": peers["peer_logits"][:2], "peer_labels": [-100, 1]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.cross_entropy, twice",
            theirs,
            NEAR | peers,
            wrt=both,
            denominator=4.0,
        ),
        item_case(LARGE, f, FAR | far, half, wrt=both),
        item_case(f"{DIGITS}: an ignored peer", f, ignored, half | IGNORING, wrt=both),
    ]


def _log_miss(logits: Any, y: int) -> Any:
    return mp.log(sum(mp.exp(x) for k, x in enumerate(log_softmax(logits)) if k != y))


def negative_learning() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        return -_log_miss(logits, labels)

    def theirs(logits: Any, labels: Any) -> Any:
        return F.nll_loss((1 - torch.softmax(logits, 1)).log(), labels, reduction="none")

    alone = {"logits": [[0.0, "-Infinity"]], "labels": [0]}
    return [
        torch_case(
            "smooth: torch 2.13.0 F.nll_loss of 1 - softmax", theirs, NEAR, wrt=Z, denominator=4.0
        ),
        torch_case("smooth: the same, by pixels", theirs, PIXELS, wrt=Z, denominator=4.0),
        item_case(LARGE, f, FAR),
        item_case(MASKS, f, MASKED, IGNORING),
        by_hand("no other class", alone, {}, ["Infinity"], 1.0, logits=[[0.0, 0.0]]),
    ]


def complementary_label() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        kind, others = params.get("kind", "forward"), len(logits) - 1
        rest = [z for k, z in enumerate(logits) if k != labels]
        own = logits[labels]
        if kind == "forward":
            return mp.log(others) - _log_miss(logits, labels)
        if kind == "unbiased":
            log_p = log_softmax(logits)
            return others * log_p[labels] - sum(log_p)
        if kind == "pairwise_comparison":
            return sum(1 / (1 + mp.exp(z - own)) for z in rest)
        return 1 / (1 + mp.exp(-own)) + sum(1 / (1 + mp.exp(z)) for z in rest) / others

    def theirs(logits: Any, labels: Any) -> Any:
        matrix = (1 - torch.eye(3, dtype=logits.dtype)) / 2
        return F.nll_loss((torch.softmax(logits, 1) @ matrix).log(), labels, reduction="none")

    kinds = [{"kind": x} for x in ("unbiased", "pairwise_comparison", "one_versus_rest")]
    name = "smooth: torch 2.13.0 F.nll_loss of softmax times uniform noise"
    return [
        torch_case(name, theirs, NEAR, wrt=Z, denominator=4.0),
        *(item_case(f"smooth: {DIGITS}", f, NEAR, kind) for kind in kinds),
        *(item_case(LARGE, f, FAR, kind) for kind in ({}, *kinds)),
        item_case(f"{DIGITS}: an ignored row", f, IGNORED, kinds[1] | IGNORING),
    ]


def partial_label() -> list[dict[str, Any]]:
    candidates = [[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]]
    near = {"logits": NEAR["logits"], "candidates": candidates}
    far = {"logits": FAR["logits"][:4], "candidates": candidates}
    given = {"confidences": [[0.5, 0.25, 8.0], [1.0, 0.0, 1.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]}
    progressive = {"kind": "progressive"}

    def f(params: Any, logits: Any, candidates: Any, confidences: Any = None) -> Any:
        log_p = log_softmax(logits)
        inside = [k for k, c in enumerate(candidates) if c]
        if params.get("kind") == "progressive":
            return -sum(confidences[k] * log_p[k] for k in inside if confidences[k])
        terms = [log_p[k] for k in inside]
        return -max(terms) - mp.log(sum(mp.exp(x - max(terms)) for x in terms))

    def theirs(logits: Any, candidates: Any) -> Any:
        return -(torch.softmax(logits, 1) * candidates).sum(1).log()

    def proden(logits: Any, candidates: Any) -> Any:
        p = torch.softmax(logits, 1).detach() * candidates
        return F.cross_entropy(logits, p / p.sum(1, keepdim=True), reduction="none")

    none = {
        "logits": [[0.0, 1.0, "-Infinity"], [0.0, 0.0, "-Infinity"]],
        "candidates": [[0, 0, 1], [1, 0, 1]],
    }
    hand = {
        "from": "by hand: no candidate that is possible costs infinity, without a gradient",
        "inputs": none,
        "values": ["Infinity", float(mp.log(2))],
        "gradients": {"logits": [[0.0, 0.0, 0.0], [-0.5, 0.5, 0.0]]},
    }
    return [
        torch_case("smooth: torch 2.13.0, formula of the paper on softmax", theirs, near, wrt=Z),
        torch_case("torch 2.13.0 F.cross_entropy by beliefs", proden, near, progressive, wrt=Z),
        row_case(f"smooth: {DIGITS}, confidences", f, near | given, progressive, wrt=Z),
        row_case(LARGE, f, far, {}, wrt=Z),
        row_case(LARGE, f, far | given, progressive, wrt=Z),
        hand | {"params": {}},
        hand | {"params": progressive},
    ]


def mixup_cross_entropy() -> list[dict[str, Any]]:
    mixed = {"mixed_labels": [1, 1, 0, 2], "share": [0.75, 0.5, 0.0, 1.0]}
    far = {"mixed_labels": [0, 2, 0, 1, 1, 1], "share": [0.5, 0.0, 1.0, 0.25, 0.5, 0.75]}

    def f(params: Any, logits: Any, labels: Any, mixed_labels: Any, share: Any) -> Any:
        log_p, value = log_softmax(logits), mpf(0)
        if share:
            value -= mpf(share) * log_p[labels]
        if share != 1 and mixed_labels != params.get("ignore_index"):
            value -= (1 - mpf(share)) * log_p[mixed_labels]
        return value

    def theirs(logits: Any, labels: Any, mixed_labels: Any, share: Any) -> Any:
        own = F.cross_entropy(logits, labels, reduction="none")
        share = share.view(-1, *[1] * (labels.ndim - 1))
        return share * own + (1 - share) * F.cross_entropy(logits, mixed_labels, reduction="none")

    pixels = {"mixed_labels": labels(322, 3, 2, 2), "share": [0.25, 0.75]}
    masked = {"mixed_labels": [1, -100, 0, 0], "share": [1.0, 0.5, 0.5, 0.25]}
    name = "smooth: torch 2.13.0 F.cross_entropy, twice"
    return [
        torch_case(name, theirs, NEAR | mixed, wrt=Z, denominator=4.0),
        torch_case(f"{name}, by pixels", theirs, PIXELS | pixels, wrt=Z, denominator=4.0),
        item_case(LARGE, f, FAR | far),
        item_case(MASKS, f, MASKED | masked, IGNORING),
    ]


def logit_clipping() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any) -> Any:
        length = mp.sqrt(sum(z * z for z in logits))
        scale = min(mpf(1), mpf(params.get("threshold", 1.0)) / length) if length else mpf(1)
        return -log_softmax([scale * z for z in logits])[labels]

    def theirs(logits: Any, labels: Any) -> Any:
        length = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
        scale = (2.0 / length).clamp(max=1.0)
        return F.cross_entropy(logits * scale, labels, reduction="none")

    kink = {"logits": [[3.0, 4.0]], "labels": [0]}
    p = 1 / (1 + mp.exp(-1))
    name = "smooth: torch 2.13.0 F.cross_entropy of clipped logits"
    two = {"threshold": 2.0}
    far = {"logits": FAR["logits"][:4], "labels": FAR["labels"][:4]}
    return [
        torch_case(name, theirs, NEAR, two, wrt=Z, denominator=4.0),
        torch_case(f"{name}, by pixels", theirs, PIXELS, two, wrt=Z, denominator=4.0),
        item_case(LARGE, f, far, two),
        item_case(f"{DIGITS}: an ignored row", f, IGNORED, IGNORING),
        by_hand(
            "at the threshold, and at zero",
            {"logits": [*kink["logits"], [0.0, 0.0]], "labels": [0, 1]},
            {"threshold": 5.0},
            finish([-mp.log(1 - p), mp.log(2)]),
            2.0,
            logits=finish([[-p, p], [mpf(0.5), mpf(-0.5)]]),
        ),
    ]


CASES = {
    "forward_correction": forward_correction,
    "backward_correction": backward_correction,
    "peer_loss": peer_loss,
    "negative_learning": negative_learning,
    "complementary_label": complementary_label,
    "partial_label": partial_label,
    "mixup_cross_entropy": mixup_cross_entropy,
    "logit_clipping": logit_clipping,
}
