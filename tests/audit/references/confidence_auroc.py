"""How well confidence tells right rows, by scikit-learn."""

from typing import Any

import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score

from references._classifiers import Outputs, case, coarse, logits, probabilities, softmax

SOURCE = f"scikit-learn {sklearn.__version__}"


def of(kind: str, outputs: Outputs, *, tied: bool = False) -> dict[str, Any]:
    p = softmax(outputs[0]) if kind == "logits" else outputs[0]
    confidence, right = p.max(1), p.argmax(1) == outputs[1]
    expected: dict[str, Any] = {"auroc": roc_auc_score(right, confidence)}
    if not tied:  # of rows of one confidence scikit-learn takes all at once
        expected["average_precision"] = average_precision_score(right, confidence)
        expected["average_precision_of_errors"] = average_precision_score(~right, -confidence)
    return case(SOURCE, outputs, kind, expected)


def cases() -> list[dict[str, Any]]:
    return [
        of("logits", logits(0, 50, 3, heat=2.0)),
        of("logits", logits(1, 70, 6, heat=0.5)),
        of("probabilities", probabilities(2, 40, 2)),
        of("probabilities", coarse(3, 80, 3), tied=True),
    ]
