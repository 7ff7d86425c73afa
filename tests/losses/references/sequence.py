"""ctc, crf, transducer, soft_dtw."""

import itertools
from typing import Any

import optax
import torch
import torch.nn.functional as F
from mpmath import mp, mpf
from torch import Tensor
from torchcrf import CRF

from references._jax import jax_case
from references._mp import INF, batch_case, log_softmax
from references._torch import randoms, torch_case

DIGITS = "mpmath 1.3.0, 50 digits"
FRAMES = {
    "logits": randoms(810, 3, 5, 3),
    "labels": [[1, 2], [2, 2], [1, 0]],
    "input_lengths": [5, 4, 3],
    "label_lengths": [2, 2, 1],
}


def ctc() -> list[dict[str, Any]]:
    def theirs(mean: bool = False, zero: bool = False, last: bool = False) -> Any:
        def rows(labels: Tensor, input_lengths: Any = None, label_lengths: Any = None,
                 logits: Any = None, log_probabilities: Any = None) -> Tensor:  # fmt: skip
            log_p = log_probabilities
            if log_p is None:
                log_p = F.log_softmax(logits, 2)
            frames = torch.full((len(labels),), log_p.shape[1])
            frames = frames if input_lengths is None else input_lengths
            count = torch.full((len(labels),), labels.shape[1])
            count = count if label_lengths is None else label_lengths
            value = F.ctc_loss(
                log_p.transpose(0, 1), labels, frames, count, reduction="none", zero_infinity=zero,
                blank=log_p.shape[2] - 1 if last else 0,
            )  # fmt: skip
            return value / count.clamp(min=1) if mean else value

        return rows

    def by_optax(logits: Any, labels: Any) -> Any:
        nothing = labels * 0.0
        return optax.losses.ctc_loss(logits, logits[:, :, 0] * 0.0, labels, nothing)

    def f(params: Any, labels: Any, logits: Any = None, log_probabilities: Any = None) -> Any:
        return [
            -mp.log(sum(_path(log_p, path) for path in _alignments(len(log_p), row)))
            for log_p, row in zip(
                [[log_softmax(x) for x in row] for row in logits] if logits else log_probabilities,
                [[int(x) for x in row] for row in labels],
                strict=True,
            )
        ]

    z = ("logits",)
    far = {
        "logits": [[[1e4, -1e4, 0.0], [-120.0, 50.0, 120.0], [0.0, 1e4, 9999.0]]] * 2,
        "labels": [[1, 2], [2, 1]],
    }
    short = {"logits": randoms(811, 3, 2, 3), "labels": [[1, 1], [1, 2], [2, 1]],
             "input_lengths": [2, 2, 0], "label_lengths": [2, 2, 0]}  # fmt: skip
    logs = {"log_probabilities": [[[-1.0, -0.5, -INF], [-0.5, -INF, -1.5], [-0.25, -2.0, -1.0]]],
            "labels": [[1, 2]]}  # fmt: skip
    name = "torch 2.13.0 F.ctc_loss"
    cases = [
        torch_case(f"smooth: {name}", theirs(), FRAMES, wrt=z, denominator=3.0),
        torch_case(
            f"smooth: {name}, per label", theirs(mean=True), FRAMES,
            {"denominator": "label_mean"}, wrt=z, denominator=3.0,
        ),
        jax_case(
            "optax 0.2.8 ctc_loss", by_optax, {key: FRAMES[key] for key in ("logits",)} |
            {"labels": [[1, 2], [2, 2], [1, 2]]}, {"denominator": "labels"}, wrt=z, denominator=6.0,
        ),
        torch_case(
            f"{name}, blank last", theirs(last=True),
            FRAMES | {"labels": [[1, 0], [1, 1], [1, 0]]}, {"blank": "last"},
            wrt=z, denominator=3.0,
        ),
    ]  # fmt: skip
    exact = batch_case(f"{DIGITS}, all paths: logits to 1e4", f, far, wrt=z)
    free = batch_case(f"{DIGITS}, all paths: probabilities of 0", f, logs,
                      wrt=("log_probabilities",), kinks=_slopes_of(f, logs))  # fmt: skip
    for case, rows in ((exact, 2.0), (free, 1.0)):
        case["denominator"] = rows
        case["inputs"]["labels"] = [[int(x) for x in row] for row in case["inputs"]["labels"]]
    return [*cases, exact, free, *_impossible(short, theirs(zero=True))]


def _alignments(frames: int, labels: list[int]) -> list[tuple[int, ...]]:
    found = []
    for path in itertools.product(range(3), repeat=frames):
        merged = [x for i, x in enumerate(path) if x and (i == 0 or path[i - 1] != x)]
        if merged == labels:
            found.append(path)
    return found


def _path(log_p: Any, path: tuple[int, ...]) -> Any:
    return mp.exp(sum(frame[k] for frame, k in zip(log_p, path, strict=True)))


def _slopes_of(f: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Minus the share of the paths through each frame and class; 0 where it is impossible."""
    log_p = [[mpf(x) for x in frame] for frame in inputs["log_probabilities"][0]]
    paths = _alignments(len(log_p), inputs["labels"][0])
    total = sum(_path(log_p, path) for path in paths)
    share = [
        [sum((_path(log_p, p) for p in paths if p[t] == k), mpf(0)) / total for k in range(3)]
        for t in range(len(log_p))
    ]
    return {"log_probabilities": [[[-x for x in frame] for frame in share]]}


def _impossible(short: dict[str, Any], theirs: Any) -> list[dict[str, Any]]:
    name = "torch 2.13.0 F.ctc_loss"
    zero = torch_case(
        f"{name}, zero_infinity: equal labels need a blank; no frames, no labels", theirs, short,
        {"zero_infinity": True}, wrt=("logits",), denominator=3.0,
    )  # fmt: skip
    infinite = zero | {
        "from": f"{name}: a row without a path costs infinity, by ruling without a gradient",
        "params": {},
        "values": ["Infinity", *zero["values"][1:]],
    }
    return [zero, infinite]


def crf() -> list[dict[str, Any]]:
    def theirs(logits: Tensor, transitions: Tensor, labels: Tensor, start: Any = None,
               end: Any = None, input_lengths: Any = None) -> Tensor:  # fmt: skip
        model = CRF(logits.shape[2], batch_first=True).double()
        del model.transitions, model.start_transitions, model.end_transitions
        zeros = torch.zeros(logits.shape[2], dtype=torch.float64)
        model.transitions = transitions
        model.start_transitions = zeros if start is None else start
        model.end_transitions = zeros if end is None else end
        mask = None
        if input_lengths is not None:
            mask = torch.arange(logits.shape[1]) < input_lengths[:, None]
        values: Tensor = -model(logits, labels, mask=mask, reduction="none")
        return values

    def f(params: Any, logits: Any, transitions: Any, labels: Any) -> Any:
        def score(z: Any, path: Any) -> Any:
            total = sum(frame[k] for frame, k in zip(z, path, strict=True))
            return total + sum(transitions[a][b] for a, b in itertools.pairwise(path))

        values = []
        for z, row in zip(logits, labels, strict=True):
            right = score(z, [int(x) for x in row])
            paths = itertools.product(range(len(z[0])), repeat=len(z))
            values.append(mp.log(sum(mp.exp(score(z, path) - right) for path in paths)))
        return values

    near = {"logits": randoms(812, 3, 4, 3), "transitions": randoms(813, 3, 3),
            "labels": [[0, 1, 2, 2], [2, 1, 0, 1], [1, 1, 0, 0]]}  # fmt: skip
    full = near | {"start": randoms(814, 3), "end": randoms(815, 3), "input_lengths": [4, 2, 1]}
    far = {
        "logits": [
            [[1e4, -1e4], [120.0, 0.0], [-1e4, 9999.0]],
            [[0.0, 50.0], [1e4, 1e4], [0.0, 1.0]],
        ],
        "transitions": [[120.0, -120.0], [0.5, 1e4]],
        "labels": [[0, 0, 1], [1, 0, 1]],
    }  # fmt: skip
    wrt, name = ("logits", "transitions"), "pytorch-crf 0.7.2"
    exact = batch_case(f"{DIGITS}, all paths: scores to 1e4", f, far, wrt=wrt)
    exact["inputs"]["labels"] = far["labels"]
    banned = {
        "logits": randoms(816, 1, 3, 2),
        "transitions": [[0.5, -INF], [-0.25, 1.0]],
        "labels": [[1, 0, 0]],
    }
    open_case = torch_case(
        "", theirs, banned | {"transitions": [[0.5, -1e30], [-0.25, 1.0]]}, wrt=wrt
    )
    transitions = [[0.5, "-Infinity"], [-0.25, 1.0]]
    return [
        torch_case(f"smooth: {name}", theirs, near, wrt=wrt),
        torch_case(f"smooth: {name}, lengths", theirs, full, wrt=(*wrt, "start", "end")),
        exact,
        open_case
        | {
            "from": f"{name}, -1e30 for a step that is forbidden",
            "inputs": banned | {"transitions": transitions},
        },
        {
            "from": "by hand: forbidden tags cost infinity, by ruling without a gradient",
            "inputs": {"logits": [[[1.0, 2.0], [0.0, 1.0]]], "transitions": transitions,
                       "labels": [[0, 1]]},
            "params": {},
            "values": ["Infinity"],
            "gradients": {"logits": [[[0.0, 0.0]] * 2], "transitions": [[0.0, 0.0]] * 2},
        },
    ]  # fmt: skip


def transducer() -> list[dict[str, Any]]:
    def f(params: Any, logits: Any, labels: Any, input_lengths: Any = None,
          label_lengths: Any = None) -> Any:  # fmt: skip
        values = []
        for i, z in enumerate(logits):
            frames = len(z) if input_lengths is None else int(input_lengths[i])
            count = len(z[0]) - 1 if label_lengths is None else int(label_lengths[i])
            row, blank = [int(x) for x in labels[i]], -1 if params.get("blank") == "last" else 0
            log_p = [[log_softmax(x) for x in states] for states in z]
            total = mpf(0)
            # The last step is a blank: labels fall anywhere among the others.
            for places in itertools.combinations(range(frames - 1 + count), count):
                t = u = 0
                log_path = log_p[frames - 1][count][blank]
                for step in range(frames - 1 + count):
                    log_path += log_p[t][u][row[u] if step in places else blank]
                    t, u = (t, u + 1) if step in places else (t + 1, u)
                total += mp.exp(log_path)
            values.append(-mp.log(total))
        return values

    def case(source: str, inputs: Any, **params: Any) -> dict[str, Any]:
        made = batch_case(source, f, inputs, params, wrt=("logits",))
        made["inputs"] |= {key: x for key, x in inputs.items() if key != "logits"}
        return made

    near = {"logits": randoms(820, 2, 3, 3, 3), "labels": [[1, 2, 0], [2, 2, 0]]}
    short = near | {"input_lengths": [2, 1], "label_lengths": [1, 2]}
    last = {"logits": randoms(821, 1, 3, 2, 2), "labels": [[0, 0]]}
    far = {
        "logits": [[[[1e4, -1e4], [0.0, 9999.0]], [[120.0, -120.0], [1e4, 1e4]]]],
        "labels": [[1, 0]],
    }
    paper = f"paper only: {DIGITS}, all paths"
    return [
        case(f"smooth: {paper}", near),
        case(f"smooth: {paper}: lengths", short),
        case(f"smooth: {paper}: blank last", last, blank="last"),
        case(f"{paper}: scores to 1e4", far),
        {
            "from": "by hand: without frames there is no path, by ruling no gradient either",
            "inputs": {"logits": [[[[1.0, 2.0]]]], "labels": [[0]], "input_lengths": [0]},
            "params": {},
            "values": ["Infinity"],
            "gradients": {"logits": [[[[0.0, 0.0]]]]},
        },
    ]


def soft_dtw() -> list[dict[str, Any]]:
    def softly(x: Any, y: Any, gamma: Any) -> Any:
        table: dict[tuple[int, int], Any] = {}
        for i, a in enumerate(x):
            for j, b in enumerate(y):
                cost = sum((p - q) ** 2 for p, q in zip(a, b, strict=True))
                near = [table[k] for k in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if k in table]
                if near:
                    cost -= gamma * mp.log(sum(mp.exp(-r / gamma) for r in near))
                table[i, j] = cost
        return table[len(x) - 1, len(y) - 1]

    def f(params: Any, prediction: Any, target: Any) -> Any:
        gamma = mpf(params.get("gamma", 1))
        values = []
        for x, y in zip(prediction, target, strict=True):
            value = softly(x, y, gamma)
            if params.get("divergence"):
                value -= (softly(x, x, gamma) + softly(y, y, gamma)) / 2
            values.append(value)
        return values

    near = {"prediction": randoms(822, 2, 3, 2), "target": randoms(823, 2, 4, 2)}
    narrow = {"prediction": randoms(824, 2, 1, 1), "target": randoms(825, 2, 3, 1)}
    far = {"prediction": [[[50.0], [-50.0], [0.0]]], "target": [[[-50.0], [120.0]]]}
    wrt, paper = tuple(near), f"paper only: {DIGITS}"
    own = {"divergence": True, "gamma": 0.5}
    return [
        batch_case(f"smooth: {paper}", f, near, wrt=wrt),
        batch_case(f"smooth: {paper}: divergence", f, near, own, wrt=wrt),
        batch_case(f"{paper}: a single step", f, narrow, {"gamma": 2.0}, wrt=wrt),
        batch_case(f"{paper}: far apart", f, far, wrt=wrt),
    ]


CASES = {"ctc": ctc, "crf": crf, "transducer": transducer, "soft_dtw": soft_dtw}
