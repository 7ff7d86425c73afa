"""A check for a test suite: one call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from lossd.audit.compare import compare
from lossd.audit.fold import Audit
from lossd.audit.formats.text import head
from lossd.audit.gates import Gates, gates_of, judge, read_gates
from lossd.audit.gating.reading import Kind
from lossd.audit.report import Report, report_of
from lossd.audit.setup import Setup
from lossd.audit.state import State
from lossd.errors import UnreadableBody


def check(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    gates: Mapping[str, Any] | str | Path,
    baseline: State | None = None,
    inconclusive_fails: bool = False,
    ids: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    slices: Mapping[str, ArrayLike] | None = None,
    **options: Any,
) -> Report:
    """Audit, judge, and raise `AssertionError` where a gate fails; its message says why.

        check(logits, labels, gates={"accuracy.top_1.value": {"min": 0.9}})

    `scores` is (rows, classes), `labels` (rows,); `gates` are by paths, or a file's name (TOML, or
    YAML by `.yaml`, `.yml`). `options` are those of `Setup`; `baseline` is the state of an earlier
    audit, for gates of changes. Raises `BadOption` and others of `LossdError` where what is asked
    makes no sense, `OSError` where the file cannot be read.
    """
    asked = gates_of(gates) if isinstance(gates, Mapping) else _from_file(Path(gates))
    setup = Setup(
        slices=tuple(sorted(slices or {})),
        has_ids=ids is not None,
        has_weights=weights is not None,
        **options,
    )
    with Audit(setup) as audit:
        audit.add(scores, labels, ids=ids, weights=weights, slices=slices)
        state = audit.state()
    report = report_of(state)
    if baseline is None:
        report = judge(report, asked)
    else:
        report = judge(report, asked, report_of(baseline), compare(baseline, state))
    bad = ("fail", "inconclusive") if inconclusive_fails else ("fail",)
    # Not `verdict`: a gate that fails comes before all others in it.
    if any(gate.verdict in bad for gate in report.gates):
        raise AssertionError(head(report))
    return report


def _from_file(path: Path) -> Gates:
    kind: Kind = "yaml" if path.suffix.lower() in (".yaml", ".yml") else "toml"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise UnreadableBody("a gate file is text in UTF-8", at=str(path)) from err
    return read_gates(text, kind)
