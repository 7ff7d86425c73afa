"""How well label issues are ranked: labels are spoilt, and average precision says who finds them.

Real and made-up data x symmetric and asymmetric noise x shares of it x models, probabilities by
five-fold cross-validation. Ours are the rankings of the audit, as it lists rows; cleanlab's are
its label quality scores, computed by cleanlab in an environment below `--venvs` (or `--cleanlab`,
an interpreter that has it). One JSON line per setting, then a summary of each ranking: the mean,
and in how many settings it was at least as good as the best of cleanlab's five there. Last, what
each rule calls an issue on balanced and imbalanced rows.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._issue_rules import rules
from benchmarks._venvs import AUDITORS, DEFAULT_FOLDER, python_of
from lossd.audit import Audit, Setup
from lossd.audit.metrics import Whole
from lossd.audit.metrics._label_issues_result import doubts_of, scores_of_kept

RANKINGS = ("posterior", "margin", "el2n", "self_confidence")
NOISES = ("symmetric", "asymmetric")
SHARES = (0.05, 0.1, 0.2)
SEEDS = (0, 1)
EVEN = 1e-9  # ranks of equal average precision
Case = Mapping[str, Any]


def _made_up(shares: Sequence[float], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = datasets.make_classification(
        4000, 20, n_informative=12, n_classes=len(shares), weights=list(shares), flip_y=0.0,
        class_sep=1.5, random_state=seed,
    )  # fmt: skip
    return x, y


DATA = {
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "breast_cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "made_up_balanced": lambda: _made_up([0.2] * 5, 0),
    "made_up_imbalanced": lambda: _made_up([0.6, 0.2, 0.1, 0.07, 0.03], 1),
}
MODELS = {
    "logistic_regression": lambda: make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=300)
    ),
    "extra_trees": lambda: ExtraTreesClassifier(100, random_state=0),
}


def spoilt(
    labels: NDArray[Any], noise: str, share: float, seed: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels of which a share is wrong, and which: any other class, or the next one."""
    random = np.random.default_rng(seed)
    classes = labels.max() + 1
    wrong = random.random(len(labels)) < share
    shift = random.integers(1, classes, len(labels)) if noise == "symmetric" else 1
    return np.where(wrong, (labels + shift) % classes, labels), wrong


def cases(quick: bool) -> Iterator[Case]:
    for data, read in DATA.items():
        x, truth = read()
        for model, make in MODELS.items():
            for noise in NOISES:
                for share in SHARES[1:2] if quick else SHARES:
                    for seed in SEEDS[:1] if quick else SEEDS:
                        labels, wrong = spoilt(truth, noise, share, seed)
                        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
                        p = cross_val_predict(
                            make(), x, labels, cv=folds, method="predict_proba", n_jobs=1
                        )
                        yield {
                            "name": f"{data}/{model}/{noise}/{share:g}/{seed}",
                            "probabilities": p,
                            "labels": labels,
                            "wrong": wrong,
                        }


def by_lossd(case: Case, ranking: str) -> float:
    """Average precision of the audit's list; rows that it does not list follow by their margin."""
    p, labels = case["probabilities"], case["labels"]
    rows = np.arange(len(labels))
    others = p.copy()
    others[rows, labels] = -1.0
    suspicion = others.max(1) - p[rows, labels] - 2.0
    setup = Setup(
        scores="probabilities", metrics=("label_issues",), issue_ranking=ranking,
        most_listed=len(labels),
    )  # fmt: skip
    with Audit(setup, threads=1) as audit:
        audit.add(p, labels)
        pieces = audit.state().pieces["label_issues"]
    doubts = doubts_of(pieces, Whole(setup, p.shape[1], len(labels)))
    scores = scores_of_kept(pieces["suspects"], doubts)
    order = np.unique(scores, return_inverse=True)[1]
    suspicion[pieces["suspects"].ids] = len(scores) - order
    return float(average_precision_score(case["wrong"], suspicion))


def by_cleanlab(python: Path, given: Sequence[Case]) -> list[dict[str, float]]:
    """Average precision of each of its scores, for each case."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "cases.npz", Path(folder) / "scores.npz"
        arrays = {f"{case['name']}.{key}": case[key]
                  for case in given for key in ("probabilities", "labels")}  # fmt: skip
        np.savez(asked, **arrays)
        script = AUDITORS / "cleanlab_scores.py"
        subprocess.run([str(python), str(script), str(asked), str(answered)], check=True)
        scores = dict(np.load(answered))
    return [
        {
            key.rpartition(".")[2]: float(
                average_precision_score(case["wrong"], -np.nan_to_num(each, nan=np.inf, posinf=9.0))
            )
            for key, each in scores.items()
            if key.startswith(f"{case['name']}.")
        }
        for case in given
    ]


def _lines(given: Sequence[Case], theirs: Sequence[Mapping[str, float]]) -> Iterator[Any]:
    found: dict[str, list[tuple[dict[str, float], Mapping[str, float]]]] = {}
    for case, cleanlab in zip(given, theirs, strict=True):
        ours = {name: by_lossd(case, name) for name in RANKINGS}
        found.setdefault(case["name"].rpartition("/")[0], []).append((ours, cleanlab))
    settings = []
    for name, pairs in found.items():
        data, model, noise, share = name.split("/")
        ours = {each: mean(own[each] for own, _ in pairs) for each in RANKINGS}
        cleanlab = {each: mean(other[each] for _, other in pairs) for each in pairs[0][1]}
        settings.append((noise, ours, cleanlab))
        yield {
            "kind": "setting", "data": data, "model": model, "noise": noise, "share": float(share),
            "seeds": len(pairs), **_rounded("lossd", ours), **_rounded("cleanlab", cleanlab),
        }  # fmt: skip
    for noise in (*NOISES, "any"):
        chosen = [each for each in settings if noise in (each[0], "any")]
        for ranking in RANKINGS:
            margins = [ours[ranking] - max(cleanlab.values()) for _, ours, cleanlab in chosen]
            yield {
                "kind": "ranking", "noise": noise, "ranking": ranking, "settings": len(chosen),
                "mean_average_precision": round(mean(ours[ranking] for _, ours, _ in chosen), 4),
                "at_least_cleanlabs_best": sum(each >= -EVEN for each in margins),
                "worst_difference_to_cleanlabs_best": round(min(margins), 4),
            }  # fmt: skip
        for method in chosen[0][2]:
            yield {
                "kind": "ranking", "noise": noise, "ranking": f"cleanlab {method}",
                "settings": len(chosen),
                "mean_average_precision": round(mean(each[2][method] for each in chosen), 4),
            }  # fmt: skip


def _rounded(who: str, found: Mapping[str, float]) -> dict[str, float]:
    return {f"{who}_{name}": round(each, 4) for name, each in found.items()}


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venvs", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--cleanlab", type=Path, help="an interpreter that has cleanlab")
    parser.add_argument("--quick", action="store_true", help="one share of noise, one seed")
    given = parser.parse_args(arguments)
    python = given.cleanlab or python_of("cleanlab", given.venvs, AUDITORS)
    all_cases = list(cases(given.quick))
    of_rankings = _lines(all_cases, by_cleanlab(python, all_cases))
    for line in itertools.chain(of_rankings, rules(30_000 if given.quick else 300_000, python)):
        print(json.dumps({"bench": "label_issues", **line}), flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
