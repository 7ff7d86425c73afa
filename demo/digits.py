"""A small classifier of scikit-learn's digits, and what its outputs are to each loss."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

Array = np.ndarray


@dataclass(frozen=True)
class Outputs:
    """What a trained model says of images that it has not seen."""

    logits: Array
    adversarial_logits: Array
    embeddings: Array
    adversarial_embeddings: Array
    labels: Array
    weights: dict[str, Array]
    scores: Array  # of real images and then of noise
    is_real: Array
    accuracy: float

    def inputs_for(self, loss: str) -> dict[str, Any] | None:
        """The inputs of a loss; None where a classifier's outputs are not what it takes."""
        softmax = torch.softmax(torch.from_numpy(self.logits), 1)
        one_hot = np.eye(10, dtype=np.float32)[self.labels]
        half = len(self.embeddings) // 2
        left, right = self.embeddings[:half], self.embeddings[half : 2 * half]
        similar = (self.labels[:half] == self.labels[half : 2 * half]).astype(np.int64)
        regression = {"prediction": softmax.numpy(), "target": one_hot}
        classification = {"logits": self.logits, "labels": self.labels}
        binary = {"logits": self.logits, "targets": one_hot}
        one_against_rest = {"scores": self.logits, "labels": 2 * one_hot.astype(np.int64) - 1}
        adversarial = self.adversarial_logits
        penalty = {"weights": self.weights}
        twice = (self.embeddings, self.adversarial_embeddings)
        return {
            **dict.fromkeys(("mse", "l1", "smooth_l1", "huber", "log_cosh"), regression),
            **dict.fromkeys(
                (
                    "cross_entropy",
                    "focal",
                    "generalized_cross_entropy",
                    "brier",
                    "multiclass_hinge",
                    "multi_margin",
                ),
                classification,
            ),
            **dict.fromkeys(
                ("binary_cross_entropy_with_logits", "sigmoid_focal", "asymmetric"), binary
            ),
            **dict.fromkeys(("hinge", "squared_hinge"), one_against_rest),
            **dict.fromkeys(("l1_penalty", "l2_penalty", "elastic_net"), penalty),
            "nll": {"log_probabilities": softmax.log().numpy(), "labels": self.labels},
            "binary_cross_entropy": {"probabilities": softmax.numpy(), "targets": one_hot},
            "contrastive": {"left": left, "right": right, "labels": similar},
            "contrastive_distance": {
                "distances": np.linalg.norm(left - right, axis=1),
                "labels": similar,
            },
            "info_nce": dict(zip(("queries", "keys"), twice, strict=True)),
            "siglip": {
                **dict(zip(("left", "right"), twice, strict=True)),
                "logit_scale": np.float32(10.0),
                "logit_bias": np.float32(-10.0),
            },
            "distillation": {
                "student_logits": adversarial,
                "teacher_logits": self.logits,
                "labels": self.labels,
            },
            "kl_divergence": {"p_logits": self.logits, "q_logits": adversarial},
            "adversarial": {
                "clean_logits": self.logits,
                "adversarial_logits": adversarial,
                "labels": self.labels,
            },
            "gan": {"scores": self.scores, "is_real": self.is_real},
        }.get(loss)


def train(progress: Callable[[range], Iterable[int]]) -> Outputs:
    """Train on the CPU, seeded: a second or two."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        (images / 16).astype(np.float32), labels.astype(np.int64), random_state=0, stratify=labels
    )
    x, y = torch.from_numpy(seen), torch.from_numpy(seen_labels)
    body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
    head = nn.Linear(32, 10)
    model = nn.Sequential(body, head)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in progress(range(100)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return _outputs(model, body, torch.from_numpy(unseen), unseen_labels)


def _outputs(model: nn.Module, body: nn.Module, x: Tensor, labels: Array) -> Outputs:
    y = torch.from_numpy(labels)
    noise = torch.rand_like(x)
    attacked = _fast_gradient_sign(model, x, y)
    with torch.no_grad():
        logits = model(x)
        # How sure the model is that it sees any digit at all.
        scores = torch.cat([logits.logsumexp(1), model(noise).logsumexp(1)])
        return Outputs(
            logits=logits.numpy(),
            adversarial_logits=model(attacked).numpy(),
            embeddings=body(x).numpy(),
            adversarial_embeddings=body(attacked).numpy(),
            labels=labels,
            weights={name: each.numpy().copy() for name, each in model.named_parameters()},
            scores=(scores - scores.median()).numpy(),
            is_real=np.repeat([1, 0], len(labels)),
            accuracy=float((logits.argmax(1) == y).double().mean()),
        )


def _fast_gradient_sign(model: nn.Module, x: Tensor, y: Tensor, step: float = 0.05) -> Tensor:
    moved = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(moved), y), moved)
    return (x + step * gradient.sign()).clamp(0, 1)
