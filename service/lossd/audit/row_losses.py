"""The loss of each row, of those of the catalog whose rows stand alone.

Cross-entropy is what the row kernel measured. Others are computed by their own functions, in
blocks of rows that leave no trace of how the rows were cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lossd.audit.setup import Scores, Setup
from lossd.errors import BadOption, BadParams, UnknownLoss

if TYPE_CHECKING:  # the catalog brings torch, which an audit of cross-entropy can do without
    from lossd.losses import LossSpec

RowLoss = Callable[[NDArray[Any], NDArray[np.int64]], NDArray[np.float64]]
MEASURED = "cross_entropy"
_GIVEN = {"logits", "probabilities", "labels"}


def row_loss_of(setup: Setup) -> RowLoss | None:
    """What gives the losses of usable rows, of their scores and labels; None: minus `log_p` does.

    Raises `BadOption`, `BadParams` where a loss cannot be audited, or not with such parameters.
    """
    if setup.loss == MEASURED and not setup.params:
        return None
    from lossd.losses import find  # as above
    from lossd.schema.options import parse_params

    try:
        spec = find(setup.loss)
    except UnknownLoss as err:
        raise BadOption(
            err.message, at="loss", expected=err.expected, got=setup.loss[:100]
        ) from err
    scores = _input_for(spec, setup.scores)
    params = parse_params(spec, dict(setup.params))
    if getattr(params, "ignore_index", None) is not None:
        raise BadParams("every row of an audit counts", at="params.ignore_index", expected="null")
    if setup.loss == MEASURED and params == spec.params():
        return None
    return _computed(spec, params, scores, take_log=scores == "logits" != setup.scores)


def _input_for(spec: LossSpec, scores: Scores) -> str:
    """The input that takes the scores. Raises `BadOption` if the loss has none, or wants more."""
    others = {name for name, each in spec.inputs.items() if not each.optional} - _GIVEN
    needs_more = others or any(not _GIVEN & set(names) for names in spec.exactly_one_of)
    stands_alone = (
        spec.coupling == "independent"
        and not spec.matrices
        and spec.items in (("rows",), ("rows", "*spatial"))
        and "seed" not in spec.params.model_fields
    )
    if needs_more or not stands_alone or not _is_matrix(spec, "labels", ("rows",)):
        raise _not_for_audits(spec, "a loss of each row by its scores and label alone")
    if _is_matrix(spec, scores, ("rows", "classes")):
        return scores
    logits = spec.inputs.get("logits")
    possible = _is_matrix(spec, "logits", ("rows", "classes")) and logits is not None
    if scores == "probabilities" and possible and logits is not None and logits.arg.minus_infinity:
        return "logits"
    raise _not_for_audits(spec, f"a loss of {scores}")


def _is_matrix(spec: LossSpec, name: str, dims: tuple[str, ...]) -> bool:
    found = spec.inputs.get(name)
    return found is not None and found.dims in (dims, (*dims, "*spatial"))


def _not_for_audits(spec: LossSpec, expected: str) -> BadOption:
    return BadOption(f"{spec.name} cannot be audited", at="loss", expected=expected, got=spec.name)


def _computed(spec: LossSpec, params: Any, scores: str, *, take_log: bool) -> RowLoss:
    import torch  # as above

    from lossd.engine.together import MOST_ELEMENTS, PAD_ROWS

    def losses(z: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        found = np.empty(len(z))
        rows = MOST_ELEMENTS // z.shape[1] // PAD_ROWS * PAD_ROWS
        for start in range(0, len(z), rows or 1):
            block = slice(start, start + (rows or 1))
            count = len(z[block])
            # Rows too wide for a block go one by one, which is an own way for all of the like.
            more = np.minimum(np.arange(count + (-count % PAD_ROWS if rows else 0)), count - 1)
            x = torch.from_numpy(z[block][more])
            x = x.log() if take_log else x
            inputs = {scores: x, "labels": torch.from_numpy(labels[block][more])}
            with torch.no_grad():
                found[block] = spec.fn(**inputs, params=params)[:count].numpy()
        return found

    return losses
