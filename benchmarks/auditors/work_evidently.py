"""Evidently at its work: `python work_evidently.py data.npz`. It has probabilities in a frame."""

import sys

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, MulticlassClassification, Report
from evidently.presets import ClassificationPreset
from turns import serve

if __name__ == "__main__":
    data = np.load(sys.argv[1])
    logits = data["logits"].astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    names = [str(k) for k in range(p.shape[1])]
    frame = pd.DataFrame(p, columns=names)
    frame["label"] = data["labels"].astype(str)
    kind = MulticlassClassification(
        target="label", prediction_probas=names, prediction_labels=None,
        labels={name: name for name in names},
    )  # fmt: skip
    definition = DataDefinition(classification=[kind])

    def preset():
        dataset = Dataset.from_pandas(frame, data_definition=definition)
        snapshot = Report([ClassificationPreset()]).run(dataset, None)
        values = {each["metric_name"]: each["value"] for each in snapshot.dict()["metrics"]}
        accuracy = next(each for name, each in values.items() if name.startswith("Accuracy"))
        return lambda: {"accuracy": float(accuracy)}

    serve("evidently", {"preset": preset})
