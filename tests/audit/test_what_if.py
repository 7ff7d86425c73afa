"""Other losses in closed form, against the catalog and its gradients."""

from typing import Any

import numpy as np
import pytest
import torch

from audit.chunks import outputs
from lossd.audit import Audit, Setup
from lossd.audit.chunk import chunk_of
from lossd.audit.closed_forms import LOSSES, OF_CLASS_COUNTS, closed_forms
from lossd.audit.rows import measure
from lossd.errors import BadOption
from lossd.losses import CATALOG

COUNTS = (50.0, 30.0, 15.0, 5.0)


def extremes() -> tuple[Any, Any]:
    """Logits of all sizes, some of classes that cannot be, and labels that can."""
    z = outputs(60, 4)["scores"].astype(np.float64)
    z[10:20] *= 40
    z[20:30] *= 1e3
    z[30:40, 3] = -np.inf
    z[40:45] = 0
    return z, np.random.default_rng(1).integers(0, 3, 60)


def by_catalog(name: str, z: Any, labels: Any) -> tuple[Any, Any]:
    spec = CATALOG[name]
    logits = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    inputs = {"logits": logits, "labels": torch.tensor(labels)}
    if name in OF_CLASS_COUNTS:
        inputs["class_counts"] = torch.tensor(COUNTS, dtype=torch.float64)
    values = spec.fn(**inputs, params=spec.params(**LOSSES[name]))
    values.sum().backward()
    return values.detach().numpy(), np.linalg.norm(np.asarray(logits.grad), axis=1)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_norms_are_the_catalogs(name: str, dtype: Any) -> None:
    z, labels = extremes()
    z = z.astype(dtype)
    setup = Setup(class_counts=COUNTS)
    rows = measure(chunk_of(setup, z, labels, first_row=0), "logits")
    value, norm = closed_forms(rows, setup)[name]
    expected, gradient = by_catalog(name, z.astype(np.float64), labels)
    np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(norm, gradient, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_are_the_softmax_of_their_logarithms(name: str) -> None:
    z, labels = extremes()
    z = z[:10]
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    setup = Setup(class_counts=COUNTS, scores="probabilities")
    rows = measure(chunk_of(setup, p, labels[:10], first_row=0), "probabilities")
    value, norm = closed_forms(rows, setup)[name]
    expected, gradient = by_catalog(name, np.log(p), labels[:10])
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(norm, gradient, rtol=1e-9)


def report_of(z: Any, labels: Any, **options: Any) -> Any:
    with Audit(metrics=("what_if",), **options) as audit:
        audit.add(z, labels)
        return audit.report()


def test_means_and_shares_add_up() -> None:
    z, labels = extremes()
    result = report_of(z, labels, class_counts=COUNTS).results["what_if"]
    assert [each["loss"] for each in result["losses"]] == list(LOSSES)
    for each in result["losses"]:
        values, norms = by_catalog(each["loss"], z, labels)
        assert each["mean_loss"] == pytest.approx(values.mean(), rel=1e-9)
        assert each["mean_gradient_norm"] == pytest.approx(norms.mean(), rel=1e-9)
        by_class = np.bincount(labels, norms, minlength=4) / norms.sum()
        assert each["gradient_share_by_class"] == pytest.approx(by_class, rel=1e-7)


def test_without_class_counts_the_losses_of_these_are_skipped_and_named() -> None:
    result = report_of(*extremes()).results["what_if"]
    assert [each["loss"] for each in result["skipped"]] == list(OF_CLASS_COUNTS)
    assert len(result["losses"]) == len(LOSSES) - 2


def test_class_counts_of_other_classes_are_refused() -> None:
    with pytest.raises(BadOption) as caught:
        report_of(*extremes(), class_counts=(1.0, 2.0))
    assert caught.value.at == "class_counts"


def test_impossible_labels_are_counted_and_bounded_losses_keep_their_mean() -> None:
    z, labels = extremes()
    z[0, labels[0]] = -np.inf
    found = {each["loss"]: each for each in report_of(z, labels).results["what_if"]["losses"]}
    assert found["cross_entropy"]["infinite"] == 1 and found["cross_entropy"]["mean_loss"] is None
    assert found["generalized_cross_entropy"]["infinite"] == 0
    assert found["generalized_cross_entropy"]["mean_loss"] is not None


def test_rows_of_probably_wrong_labels_that_move_the_model_most_are_found() -> None:
    fields = outputs(2_000, 4, skill=12.0)
    labels = fields["labels"].copy()
    labels[:100] = (labels[:100] + 1) % 4
    (finding,) = report_of(fields["scores"], labels).findings
    assert finding.code == "gradient_on_suspected_rows" and finding.count == 100


def test_a_calibrated_model_has_no_finding() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        z = 3 * random.normal(size=(3_000, 5))
        assert not report_of(z, (z + random.gumbel(size=z.shape)).argmax(1)).findings
