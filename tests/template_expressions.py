"""Each ready-made objective written out with torch's own functions, as its paper has it."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = Mapping[str, Tensor]


def _boxes(x: Tensors, positive: Tensor, beta: float = 1.0) -> Tensor:
    """The sum over the coordinates of the positives."""
    chosen = x["boxes"][positive], x["box_targets"][positive]
    return F.smooth_l1_loss(*chosen, reduction="sum", beta=beta)


def fast_rcnn(x: Tensors) -> Tensor:
    n = len(x["labels"])
    return F.cross_entropy(x["cls_logits"], x["labels"]) + _boxes(x, x["labels"] > 0) / n


def faster_rcnn_proposals(x: Tensors) -> Tensor:
    objects = x["is_object"].double()
    found = F.binary_cross_entropy_with_logits(x["objectness"], objects)
    return found + 10 / 5 * _boxes(x, objects == 1)


def retinanet(x: Tensors) -> Tensor:
    z, targets, positive = x["class_logits"], x["class_targets"], x["matched"] > 0
    p = torch.sigmoid(z)
    p_true = torch.where(targets == 1, p, 1 - p)
    alpha = torch.where(targets == 1, 0.25, 0.75)
    focal = (alpha * (1 - p_true) ** 2 * -p_true.log()).sum()
    return (focal + _boxes(x, positive, 1 / 9)) / positive.sum()


def ssd(x: Tensors) -> Tensor:
    positive = x["labels"] > 0
    each = F.cross_entropy(x["class_logits"], x["labels"], reduction="none")
    hardest = each[~positive].topk(3 * int(positive.sum())).values
    return (each[positive].sum() + hardest.sum() + _boxes(x, positive)) / positive.sum()


def penalized(x: Tensors) -> Tensor:
    weights = torch.cat([x["weights/conv"].flatten(), x["weights/head"]])
    l2 = 0.001 + (0.01 - 0.001) * (1 + math.cos(math.pi * 1000 / 10000)) / 2
    l1 = 0.002 * 1000 / 5000
    main = F.cross_entropy(x["logits"], x["labels"])
    return main + l2 * weights.square().sum() + l1 * weights.abs().sum()


def focal_mix(x: Tensors) -> Tensor:
    mix, gamma = (1 - math.cos(math.pi * 0.4)) / 2, 2 * 0.4
    log_p = F.log_softmax(x["logits"], 1).gather(1, x["labels"][:, None])[:, 0]
    hard = log_p[x["is_hard"] == 1]
    focal = ((1 - log_p.exp()) ** gamma * -log_p).mean()
    return (1 - mix) * -log_p.mean() + mix * focal - 0.5 * hard.mean()


def _divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    p, q = F.log_softmax(p_logits, 1), F.log_softmax(q_logits, 1)
    return F.kl_div(q, p, reduction="batchmean", log_target=True)


def trades(x: Tensors) -> Tensor:
    natural = F.cross_entropy(x["clean_logits"], x["labels"])
    return natural + 6 * _divergence(x["clean_logits"], x["adversarial_logits"])


def mart(x: Tensors) -> Tensor:
    labels = x["labels"][:, None]
    p, attacked = F.softmax(x["clean_logits"], 1), F.softmax(x["adversarial_logits"], 1)
    own = attacked.gather(1, labels)[:, 0]
    others = attacked.scatter(1, labels, 0.0).max(1).values
    boosted = -own.log() - (1 - others).log()
    divergence = (p * (p / attacked).log()).sum(1)
    return (boosted + 6 * divergence * (1 - p.gather(1, labels)[:, 0])).mean()


def adversarial_logit_pairing(x: Tensors) -> Tensor:
    both = torch.cat([x["clean_logits"], x["adversarial_logits"]])
    mixed = F.cross_entropy(both, torch.cat([x["labels"], x["labels"]]))
    return mixed + 0.5 * F.mse_loss(x["adversarial_logits"], x["clean_logits"])


def distillation(x: Tensors) -> Tensor:
    hard = F.cross_entropy(x["student_logits"], x["labels"])
    soft = _divergence(x["teacher_logits"].detach() / 4, x["student_logits"] / 4)
    return 0.1 * hard + 0.9 * 16 * soft


def consistency(x: Tensors) -> Tensor:
    known = x["has_label"] == 1
    weight = 10 * math.exp(-5 * (1 - 4000 / 8000) ** 2)
    agreement = _divergence(x["other_view_logits"].detach(), x["logits"])
    return F.cross_entropy(x["logits"][known], x["labels"][known]) + weight * agreement


def multilabel_ranking(x: Tensors) -> Tensor:
    z, targets = x["logits"], x["targets"]
    found = F.binary_cross_entropy_with_logits(z, targets.double())
    places = torch.full_like(targets, -1)
    for row, each in enumerate(targets):
        labels = each.nonzero()[:, 0]
        places[row, : len(labels)] = labels
    return found + 0.5 * F.multilabel_margin_loss(z, places)


def vae_annealed(x: Tensors) -> Tensor:
    mean, log_variance = x["mean"], x["log_variance"]
    n = len(mean)
    rebuilt = F.binary_cross_entropy_with_logits(
        x["reconstruction_logits"], x["data"], reduction="sum"
    )
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean)),
    ).sum()
    return (rebuilt + 2500 / 10000 * divergence) / n


EXPRESSIONS: Mapping[str, Callable[[Tensors], Tensor]] = {
    each.__name__: each
    for each in (
        fast_rcnn, faster_rcnn_proposals, retinanet, ssd, penalized, focal_mix, trades, mart,
        adversarial_logit_pairing, distillation, consistency, multilabel_ranking, vae_annealed,
    )
}  # fmt: skip
