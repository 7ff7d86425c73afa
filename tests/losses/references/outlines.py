"""Ranked errors, outlines, skeletons, images: smp, MONAI, kornia, and mpmath."""

from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from kornia.metrics import ssim as kornia_ssim
from monai.losses import AsymmetricUnifiedFocalLoss, HausdorffDTLoss, SoftclDiceLoss
from mpmath import mp, mpf
from segmentation_models_pytorch.losses.lovasz import _lovasz_hinge, _lovasz_softmax
from torch import Tensor

from references._mp_arrays import array_case, log_softmax
from references._torch import randoms, torch_case
from references.regions import GAPS, IMAGES, PAPER, PROBABILITIES, SURE, WRT, masks, mean

SMP = "segmentation-models-pytorch 0.6.0"
MONAI = "MONAI 1.6.1"
KORNIA = "kornia 0.9.0"
DOUBLE = patch.object(torch.Tensor, "float", torch.Tensor.double)  # they would cast to float32


def _extension(errors: Any, truth: Any) -> Any:
    """Of one region: the errors in falling order, times what each adds to 1 - |kept| / |union|."""
    order = sorted(range(len(errors)), key=lambda i: (-errors[i], i))
    inside, outside, before, value = 0, 0, mpf(0), mpf(0)
    total = int(sum(truth))
    for i in order:
        inside, outside = inside + int(truth[i]), outside + 1 - int(truth[i])
        jaccard = 1 - mpf(total - inside) / (total + outside)
        value += errors[i] * (jaccard - before)
        before = jaccard
    return value


def _softmax_of_paper(params: Any, logits: Any = None, probabilities: Any = None,
                      labels: Any = None, targets: Any = None) -> Any:  # fmt: skip
    p, t, counts = masks(params, logits, probabilities, labels, targets)
    costs = np.empty(p.shape[:2], dtype=object)
    for at in np.ndindex(costs.shape):
        kept = [i for i in range(p.shape[2]) if counts[(*at, i)]]
        truth = [t[(*at, i)] > 0.5 for i in kept]
        errors = [abs(truth[j] - p[(*at, i)]) for j, i in enumerate(kept)]
        costs[at] = _extension(errors, truth)
    present = ((t > 0.5) * (counts > 0)).any(axis=2)
    return mean(
        costs, present, "skip" if params.get("average_over", "present") == "present" else ""
    )


def _hinge_of_paper(params: Any, scores: Any, labels: Any) -> Any:
    values = []
    for row, truth in zip(scores, labels, strict=True):
        kept = [i for i in range(len(row)) if truth[i] != params.get("ignore_index", -100)]
        errors = [max(mpf(0), 1 - row[i] * (2 * int(truth[i]) - 1)) for i in kept]
        values.append(_extension(errors, [truth[i] for i in kept]))
    return np.array(values, dtype=object)


def lovasz_softmax() -> list[dict[str, Any]]:
    def values(logits: Tensor, labels: Tensor, classes: Any = "present") -> Tensor:
        p = torch.softmax(logits, 1).unsqueeze(3)
        with DOUBLE:
            each = [
                _lovasz_softmax(p[i : i + 1], labels[i : i + 1].unsqueeze(2), classes, ignore=-1)
                for i in range(len(p))
            ]
        return torch.stack(each)

    ignoring = {"ignore_index": -1}
    return [
        torch_case(f"smooth: {SMP}", values, IMAGES, wrt=WRT, denominator=2.0),
        torch_case(f"{SMP}, ignored and lacking", values, GAPS, ignoring, wrt=WRT, denominator=2.0),
        array_case(f"smooth: {PAPER}, all classes", _softmax_of_paper, GAPS,
                   {"average_over": "all", **ignoring}, wrt=WRT, denominator=2.0),
        array_case(f"{PAPER}, logits of 1e4", _softmax_of_paper,
                   {k: x[:1] for k, x in SURE.items()}, wrt=WRT, denominator=1.0,
                   kinks={"logits": [[[0.0] * 3] * 2]}),
        array_case(f"smooth: {PAPER}, probabilities", _softmax_of_paper,
                   {"probabilities": [[[0.25, 0.875, 0.5], [0.625, 0.0625, 0.75]]],
                    "targets": [[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]]},
                   wrt=("probabilities",), denominator=1.0),
    ]  # fmt: skip


def lovasz_hinge() -> list[dict[str, Any]]:
    def values(scores: Tensor, labels: Tensor) -> Tensor:
        with DOUBLE:
            each = [_lovasz_hinge(scores[i], labels[i], False, -1) for i in range(2)]
        return torch.stack(each)

    plain = {"scores": randoms(311, 2, 5), "labels": [[1, 0, 0, 1, 1], [0, 0, 0, 1, 0]]}
    ignored = {"scores": randoms(312, 2, 5), "labels": [[1, -1, 0, 1, -1], [0, 0, -1, 0, 0]]}
    ties = {"scores": [[1.0, 1.0, -1.0], [1e4, -1e4, 0.0]], "labels": [[1, 0, 0], [0, 1, 1]]}
    kinks = {"scores": [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]}
    found = array_case(f"{PAPER}, ties, margins of 1, scores of 1e4", _hinge_of_paper, ties,
                       wrt=(), denominator=2.0, kinks=kinks)  # fmt: skip
    # Row 0: errors 0, 2, 0: the second adds 1 - 1/2. Row 1: 10001, 10001, 1: 1/3 more, then each.
    found["gradients"]["scores"] = [[0.0, 0.5, 0.0], [1 / 3, -1 / 3, -1 / 3]]
    return [
        array_case(f"smooth: {PAPER}", _hinge_of_paper, plain, wrt=("scores",), denominator=2.0),
        array_case(f"{PAPER}, ignored", _hinge_of_paper, ignored, {"ignore_index": -1},
                   wrt=("scores",), denominator=2.0),
        torch_case(f"{SMP}, ignored", values, ignored, {"ignore_index": -1}, wrt=("scores",),
                   denominator=2.0),
        found,
    ]  # fmt: skip


def boundary() -> list[dict[str, Any]]:
    def formula(
        params: Any, distance_map: Any, logits: Any = None, probabilities: Any = None
    ) -> Any:
        p, *_ = masks({"include_background": False, **params}, logits, probabilities, None,
                      distance_map)  # fmt: skip
        first = 0 if params.get("include_background") else 1
        product = p * distance_map[:, first:]
        return product.sum(axis=(1, 2)) / (product.shape[1] * product.shape[2])

    distances = {"distance_map": randoms(313, 2, 3, 4)}
    return [
        array_case(f"smooth: {PAPER}", formula, {"logits": IMAGES["logits"], **distances}, wrt=WRT),
        array_case(f"smooth: {PAPER}, sigmoid with background", formula,
                   {"logits": IMAGES["logits"], **distances},
                   {"activation": "sigmoid", "include_background": True}, wrt=WRT),
        array_case(f"{PAPER}, logits of 1e4", formula,
                   {"logits": SURE["logits"], "distance_map": randoms(314, 2, 2, 3)}, wrt=WRT),
        array_case(f"{PAPER}, probabilities", formula,
                   {"probabilities": PROBABILITIES["probabilities"],
                    "distance_map": randoms(314, 2, 2, 3)}, wrt=("probabilities",)),
    ]  # fmt: skip


def hausdorff() -> list[dict[str, Any]]:
    module = HausdorffDTLoss(softmax=True, to_onehot_y=True, include_background=True,
                             reduction="none")  # fmt: skip
    logits = randoms(315, 2, 2, 3, 4)
    truth = [[[0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]]
    p = torch.softmax(torch.tensor(logits, dtype=torch.float64), 1)
    one_hot = torch.nn.functional.one_hot(torch.tensor(truth), 2).movedim(3, 1).to(torch.float32)

    def field(x: Tensor) -> Any:
        with DOUBLE:
            each = [module.distance_field(x[:, i : i + 1]) for i in range(2)]
        return torch.cat(each, dim=1).double().tolist()

    maps = {"predicted_distance": field(p), "target_distance": field(one_hot)}

    def values(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
        with DOUBLE:
            found: Tensor = module(logits, labels.unsqueeze(1))
        return found.flatten(1).mean(1)

    def formula(params: Any, predicted_distance: Any, target_distance: Any, **inputs: Any) -> Any:
        given = {"logits": None, "probabilities": None, "labels": None, "targets": None, **inputs}
        p, t, counts = masks(params, **given)
        alpha = mpf(params.get("alpha", 2.0))
        weight = predicted_distance**alpha + target_distance**alpha
        total = (counts * (p - t) ** 2 * weight).sum(axis=(1, 2))
        return total / counts.sum(axis=(1, 2))

    flat = {"predicted_distance": randoms(316, 2, 3, 4, low=0.0),
            "target_distance": randoms(317, 2, 3, 4, low=0.0)}  # fmt: skip
    pair = {key: [row[:2] for row in x] for key, x in flat.items()}
    pair = {key: [[each[:3] for each in row] for row in x] for key, x in pair.items()}
    return [
        torch_case(f"smooth: {MONAI}, with its distances", values,
                   {"logits": logits, "labels": truth, **maps}, wrt=WRT, denominator=2.0),
        array_case(f"{PAPER}, ignored", formula, {**GAPS, **flat},
                   {"ignore_index": -1, "alpha": 1.5}, wrt=WRT, denominator=2.0),
        array_case(f"{PAPER}, logits of 1e4", formula, {**SURE, **pair}, wrt=WRT, denominator=2.0),
        array_case(f"{PAPER}, probabilities", formula, {**PROBABILITIES, **pair},
                   wrt=("probabilities",), denominator=2.0),
    ]  # fmt: skip


def cl_dice() -> list[dict[str, Any]]:
    def values(soft: bool, iterations: int) -> Any:
        module = SoftclDiceLoss(iter_=iterations, smooth_nr=1.0, smooth_dr=1.0, smooth=1e-30,
                                softmax=soft, to_onehot_y=soft, reduction="none")  # fmt: skip

        def of(labels: Any = None, targets: Any = None, **given: Tensor) -> Tensor:
            truth = labels.unsqueeze(1) if targets is None else targets
            found: Tensor = module(*given.values(), truth)
            return found

        return of

    image = {"logits": randoms(318, 2, 2, 3, 4),
             "labels": [[[0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]],
                        [[1, 1, 1, 1], [0, 0, 1, 0], [0, 0, 1, 0]]]}  # fmt: skip
    solid = {"probabilities": randoms(319, 1, 1, 2, 3, 3, low=0.0, high=1.0),
             "targets": [[[[[0.0, 1.0, 0.0]] * 3, [[1.0] * 3] * 2 + [[0.0] * 3]]]]}  # fmt: skip
    return [
        torch_case(f"smooth: {MONAI}", values(True, 3), image, wrt=WRT, denominator=2.0),
        torch_case(f"{MONAI}, one erosion", values(True, 1), image, {"iterations": 1}, wrt=WRT,
                   denominator=2.0),
        torch_case(f"{MONAI}, three dimensions", values(False, 2), solid, {"iterations": 2},
                   wrt=("probabilities",), denominator=1.0),
    ]  # fmt: skip


def asymmetric_unified_focal() -> list[dict[str, Any]]:
    def formula(params: Any, logits: Any, labels: Any) -> Any:
        weight, delta = mpf(params.get("weight", 0.5)), mpf(params.get("delta", 0.6))
        gamma, smooth = mpf(params.get("gamma", 0.5)), mpf(params.get("smooth", 1e-7))
        log_p = log_softmax(logits)
        p, t, counts = masks(params, logits, None, labels, None)
        rare = np.arange(p.shape[1])[None, :, None] > 0
        power = np.frompyfunc(lambda x, e: x**e if x > 0 else mpf(0), 2, 1)
        scale = np.where(rare, delta, (1 - delta) * power(1 - p, gamma))
        focal = -(counts * scale * t * log_p).sum(axis=(1, 2)) / counts.sum(axis=(1, 2))
        found, missed = (counts * p * t).sum(axis=2), (counts * (1 - p) * t).sum(axis=2)
        made_up = (counts * p * (1 - t)).sum(axis=2)
        tversky = 1 - (found + smooth) / (found + delta * missed + (1 - delta) * made_up + smooth)
        tversky = np.where(rare[..., 0], power(tversky, 1 - gamma), tversky)
        return weight * focal + (1 - weight) * tversky.sum(axis=1) / tversky.shape[1]

    module = AsymmetricUnifiedFocalLoss(to_onehot_y=True, weight=0.5, delta=0.6, gamma=0.5)
    two = {"logits": randoms(320, 1, 2, 2, 3), "labels": [[[0, 1, 1], [0, 0, 1]]]}

    def values(logits: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = module(torch.softmax(logits, 1), labels.unsqueeze(1))
        return found.reshape(1)

    large = {"logits": [[[1e4, -1e4, 50.0], [-1e4, 1e4, -50.0]]], "labels": [[0, 1, 1]]}
    return [
        torch_case(f"smooth: {MONAI}", values, two, wrt=WRT, denominator=1.0),
        array_case(f"smooth: {PAPER}, three classes", formula, IMAGES, {"gamma": 0.25}, wrt=WRT,
                   denominator=2.0),
        array_case(f"{PAPER}, ignored and lacking", formula, GAPS,
                   {"ignore_index": -1, "smooth": 1.0}, wrt=WRT, denominator=2.0),
        array_case(f"{PAPER}, logits of 1e4", formula, large, wrt=WRT, denominator=1.0),
    ]  # fmt: skip


def ssim() -> list[dict[str, Any]]:
    def values(window: int, data_range: float = 1.0) -> Any:
        def of(prediction: Tensor, target: Tensor) -> Tensor:
            found = kornia_ssim(
                prediction, target, window, max_val=data_range, eps=0.0, padding="valid"
            )
            return 1 - found.flatten(1).mean(1)

        return of

    def formula(params: Any, prediction: Any, target: Any) -> Any:
        size, c1, c2 = params["window"], mpf(0.01) ** 2, mpf(0.03) ** 2
        place = [mpf(i) - mpf(size - 1) / 2 for i in range(size)]
        window = np.array([mp.exp(-(x**2) / (2 * mpf(params["sigma"]) ** 2)) for x in place])
        window = np.outer(window, window) / window.sum() ** 2
        rows, channels, height, width = prediction.shape
        found = []
        for row in range(rows):
            total, count = mpf(0), 0
            for c in range(channels):
                for i in range(height - size + 1):
                    for j in range(width - size + 1):
                        x = prediction[row, c, i : i + size, j : j + size]
                        y = target[row, c, i : i + size, j : j + size]
                        u, v = (window * x).sum(), (window * y).sum()
                        sx, sy = (window * (x - u) ** 2).sum(), (window * (y - v) ** 2).sum()
                        sxy = (window * (x - u) * (y - v)).sum()
                        total += (
                            (2 * u * v + c1)
                            * (2 * sxy + c2)
                            / ((u * u + v * v + c1) * (sx + sy + c2))
                        )
                        count += 1
            found.append(1 - total / count)
        return np.array(found, dtype=object)

    both = ("prediction", "target")
    shape = (2, 2, 4, 5)
    pictures = {"prediction": randoms(321, *shape, low=0.0, high=1.0),
                "target": randoms(322, *shape, low=0.0, high=1.0)}  # fmt: skip
    small = {key: [[[each[:3] for each in x[0][0][:3]]]] for key, x in pictures.items()}
    flat = {key: [[[[0.5] * 3] * 3]] for key in both}
    return [
        torch_case(f"smooth: {KORNIA}", values(3), pictures, {"window": 3}, wrt=both),
        torch_case(f"{KORNIA}, range 255", values(3, 255.0), small,
                   {"window": 3, "data_range": 255.0}, wrt=both),
        array_case(f"smooth: {PAPER}, sigma 0.75", formula, small, {"window": 2, "sigma": 0.75},
                   wrt=both),
        array_case(f"{PAPER}, equal", formula, flat, {"window": 3, "sigma": 1.5}, wrt=both),
    ]  # fmt: skip


CASES = {
    "lovasz_softmax": lovasz_softmax,
    "lovasz_hinge": lovasz_hinge,
    "boundary": boundary,
    "hausdorff": hausdorff,
    "cl_dice": cl_dice,
    "asymmetric_unified_focal": asymmetric_unified_focal,
    "ssim": ssim,
}
