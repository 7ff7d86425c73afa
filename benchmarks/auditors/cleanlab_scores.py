"""cleanlab's label quality scores: `python cleanlab_scores.py cases.npz scores.npz`.

Of each case's `<case>.probabilities` and `<case>.labels`; written as `<case>.<method>`.
"""

import sys

import numpy as np
from cleanlab.rank import get_label_quality_scores

METHODS = {
    "self_confidence": {"method": "self_confidence"},
    "normalized_margin": {"method": "normalized_margin"},
    "confidence_weighted_entropy": {"method": "confidence_weighted_entropy"},
    "self_confidence_adjusted": {"method": "self_confidence", "adjust_pred_probs": True},
    "normalized_margin_adjusted": {"method": "normalized_margin", "adjust_pred_probs": True},
}

if __name__ == "__main__":
    given, found = np.load(sys.argv[1]), {}
    for case in {key.rpartition(".")[0] for key in given.files}:
        p, labels = given[f"{case}.probabilities"], given[f"{case}.labels"]
        for name, options in METHODS.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                found[f"{case}.{name}"] = get_label_quality_scores(labels, p, **options)
    np.savez(sys.argv[2], **found)
