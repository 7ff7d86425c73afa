"""Unequal classes."""

from typing import Any

import numpy as np
import pytest
import torch

from lossd.audit import Audit
from lossd.losses import CATALOG

COUNTS = (90, 9, 1)


def report_of(counts: tuple[int, ...], seed: int = 0, **options: Any) -> Any:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    with Audit(metrics=("imbalance",), **options) as audit:
        audit.add(random.normal(size=(len(labels), len(counts))), labels)
        return audit.report()


def test_weights_are_those_of_the_class_balanced_loss() -> None:
    classes = report_of(COUNTS).results["imbalance"]["classes"]
    spec = CATALOG["class_balanced"]
    flat = torch.zeros(3, 3, dtype=torch.float64)
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    values = spec.fn(flat, torch.arange(3), counts, params=spec.params())
    expected = (values / np.log(3)).tolist()
    assert [each["weight"] for each in classes] == pytest.approx(expected, rel=1e-12)
    assert [each["logit_adjustment"] for each in classes] == pytest.approx(
        np.log(np.array(COUNTS) / 100).tolist(), rel=1e-12
    )
    assert sum(each["gradient_share"] for each in classes) == pytest.approx(1.0)


def test_gradient_shares_are_of_the_norms_of_p_less_the_label() -> None:
    random = np.random.default_rng(0)
    z, labels = random.normal(size=(100, 3)), np.repeat(np.arange(3), COUNTS)
    logits = torch.tensor(z, requires_grad=True)
    torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="sum").backward()
    norms = np.linalg.norm(np.asarray(logits.grad), axis=1)
    expected = np.bincount(labels, norms) / norms.sum()
    classes = report_of(COUNTS).results["imbalance"]["classes"]
    assert [each["gradient_share"] for each in classes] == pytest.approx(expected, rel=1e-9)


def test_unequal_classes_are_found_and_equal_ones_are_not() -> None:
    assert [each.code for each in report_of(COUNTS).findings] == ["unequal_classes"]
    assert not report_of((30, 40, 50)).findings


def test_classes_without_rows_are_named() -> None:
    (finding,) = report_of((30, 0, 40), classes=("cat", "dog", "eel")).findings
    assert finding.code == "classes_without_rows" and finding.sentence.endswith("row: 'dog'.")
    result = report_of((30, 0, 40)).results["imbalance"]
    assert result["classes"][1]["weight"] is None and result["without_rows"] == 1


def test_classes_beyond_the_bound_are_taken_together() -> None:
    result = report_of((5, 6, 7, 8), dense_classes=2).results["imbalance"]
    assert [each["count"] for each in result["classes"]] == [5, 6]
    assert result["others"]["classes"] == 2 and result["others"]["count"] == 15
