"""lossd at its work: `python work_lossd.py data.npz`. It has logits in float32."""

import sys

import numpy as np
from turns import serve

from lossd.audit import Audit, Setup
from lossd.audit.second_pass import SecondPass

if __name__ == "__main__":
    data = np.load(sys.argv[1])
    logits, labels = data["logits"], data["labels"]
    issues_alone = Setup(metrics=("label_issues",))

    def default():
        with Audit() as audit:
            audit.add(logits, labels)
            results = audit.report().results
        return lambda: {
            "accuracy": results["accuracy"]["top_1"]["value"],
            "ece": results.get("calibration", {}).get("ece", {}).get("equal_width_15"),
            "loss": results.get("loss", {}).get("mean"),
            "metrics": sorted(results),
        }

    def label_issues():
        with Audit(issues_alone) as audit:
            audit.add(logits, labels)
            result = audit.report().results["label_issues"]
        keys = ("count", "count_bounds", "most_by_any_rule", "noise_rate")
        return lambda: {key: result[key] for key in keys}

    def two_passes():
        with Audit(issues_alone) as audit:
            audit.add(logits, labels)
            with SecondPass(audit.state()) as second:
                issues = second.add(logits, labels)
        return lambda: {"issues": issues.ids.tolist()}

    serve("lossd", {"default": default, "label_issues": label_issues, "two_passes": two_passes})
