"""cleanlab at its work: `python work_cleanlab.py data.npz`. It has probabilities in float64."""

import sys

import numpy as np
from cleanlab.filter import find_label_issues
from turns import serve

if __name__ == "__main__":
    data = np.load(sys.argv[1])
    logits = data["logits"].astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    labels = data["labels"]
    del logits

    def found(**options):
        mask = find_label_issues(labels, p, **options)
        return lambda: {"issues": np.flatnonzero(mask).tolist()}

    serve(
        "cleanlab",
        {
            "confident_learning": lambda: found(filter_by="confident_learning", n_jobs=1),
            "low_self_confidence": lambda: found(filter_by="low_self_confidence", n_jobs=1),
            "default": found,
        },
    )
