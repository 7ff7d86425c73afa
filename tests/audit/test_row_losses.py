"""Which losses of the catalog can be audited, and that rows have the bits of rows alone."""

import numpy as np
import pytest
import torch

from audit.chunks import outputs
from lossd.audit import Audit, Setup
from lossd.audit.row_losses import row_loss_of
from lossd.errors import BadOption, BadParams
from lossd.losses import CATALOG


def can_be_audited(name: str, scores: str) -> bool:
    try:
        row_loss_of(Setup(loss=name, scores=scores))
    except BadOption as err:
        assert err.at == "loss"
        return False
    return True


AUDITED = {
    scores: [name for name in CATALOG if can_be_audited(name, scores)]
    for scores in ("logits", "probabilities")
}
OTHERS = [(s, name) for s, names in AUDITED.items() for name in names if name != "cross_entropy"]


@pytest.mark.parametrize(("scores", "name"), OTHERS)
@pytest.mark.parametrize(("rows", "classes"), [(7000, 7), (37, 1031)])
def test_a_row_has_the_bits_it_has_alone(scores: str, name: str, rows: int, classes: int) -> None:
    loss = row_loss_of(Setup(loss=name, scores=scores))
    assert loss is not None
    z, labels = outputs(rows, classes).values()
    z = np.exp(z) / np.exp(z).sum(1, keepdims=True) if scores == "probabilities" else z
    whole = loss(z, labels)
    assert np.isfinite(whole).all()
    for cut in (slice(0, 1), slice(5, 21), slice(17, 3_000), slice(3_000, rows)):
        assert loss(z[cut], labels[cut]).tobytes() == whole[cut].tobytes()
    order = np.random.default_rng(1).permutation(rows)
    assert loss(z[order], labels[order]).tobytes() == whole[order].tobytes()


@pytest.mark.parametrize("name", AUDITED["logits"])
def test_losses_are_those_of_the_loss_itself(name: str) -> None:
    z, labels = outputs(50, 5).values()
    audit = Audit(loss=name, metrics=("loss",), threads=1)
    audit.add(z.astype(np.float64), labels)
    spec = CATALOG[name]
    inputs = {"logits": torch.from_numpy(z).double(), "labels": torch.from_numpy(labels)}
    expected = spec.fn(**inputs, params=spec.params()).mean().item()
    assert audit.report().results["loss"]["mean"] == pytest.approx(expected, rel=1e-12)


def test_a_good_many_can_be_audited() -> None:
    assert len(AUDITED["logits"]) > 40
    assert {"cross_entropy", "focal", "brier"} <= set(AUDITED["probabilities"])
    assert "multiclass_hinge" not in AUDITED["probabilities"]


@pytest.mark.parametrize(
    "name", ["mse", "info_nce", "ctc", "logit_adjustment", "binary_focal", "no"]
)
def test_others_are_refused_before_there_are_rows(name: str) -> None:
    with pytest.raises(BadOption) as caught:
        Audit(loss=name)
    assert caught.value.at == "loss"


def test_parameters_are_checked_before_there_are_rows() -> None:
    for loss, params, at in [
        ("focal", {"gama": 2.0}, "params.gama"),
        ("focal", {"gamma": -1.0}, "params.gamma"),
        ("cross_entropy", {"ignore_index": 3}, "params.ignore_index"),
    ]:
        with pytest.raises(BadParams) as caught:
            Audit(loss=loss, params=params)
        assert caught.value.at == at
