"""torchmetrics at its work: `python work_torchmetrics.py data.npz`. It has probabilities."""

import sys

import numpy as np
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_precision,
    multiclass_recall,
)
from turns import serve

if __name__ == "__main__":
    data = np.load(sys.argv[1])
    logits, labels = torch.from_numpy(data["logits"]), torch.from_numpy(data["labels"])
    p, k = logits.softmax(1), logits.shape[1]

    def quality():
        loss = torch.nn.functional.cross_entropy(logits, labels)
        accuracy = multiclass_accuracy(p, labels, k, average="micro")
        error = multiclass_calibration_error(p, labels, k, n_bins=15)
        multiclass_confusion_matrix(p, labels, k)
        multiclass_precision(p, labels, k, average="none")
        multiclass_recall(p, labels, k, average="none")
        return lambda: {"accuracy": float(accuracy), "ece": float(error), "loss": float(loss)}

    serve("torchmetrics", {"quality": quality})
