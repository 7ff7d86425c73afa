"""adafocal, and its next state."""

from typing import Any

from mpmath import mp, mpf

from references._mp import log_softmax, row_case
from references._torch import labels, randoms

Z = ("logits",)
ROWS = {"logits": randoms(381, 6, 3), "labels": labels(382, 3, 6)}
STATE = {"gammas": [2.0, 0.5, -0.75], "bin_tops": [0.25, 0.625, 1.0]}
NAME = "paper only: mpmath 1.3.0, 50 digits"


def _bin(p: Any, tops: list[Any]) -> int:
    return next((b for b, top in enumerate(tops) if p <= top), len(tops) - 1)


def _value(params: Any, logits: Any, labels: Any, gammas: Any = None, bin_tops: Any = None) -> Any:
    bins = params.get("bins", 15)
    tops = bin_tops or [mpf(b + 1) / bins for b in range(bins)]
    log_p = log_softmax(logits)[labels]
    gamma = (gammas or [mpf(1)] * bins)[_bin(mp.exp(log_p), tops)]
    base = -mp.expm1(log_p) if gamma >= 0 else 1 + mp.exp(log_p)
    return -(base ** abs(gamma)) * log_p


def _next(inputs: Any, params: Any, gammas: Any = None, **_: Any) -> dict[str, Any]:
    bins, rows = params.get("bins", 15), []
    for z, y in zip(inputs["logits"], inputs["labels"], strict=True):
        log_p = log_softmax([mpf(x) for x in z])
        best = max(range(len(z)), key=lambda k, z=z: z[k])
        rows.append((mp.exp(log_p[best]), best == y))
    ordered = sorted(r for r, _ in rows)
    tops = [ordered[-(-(b + 1) * len(rows) // bins) - 1] for b in range(bins)]
    tops[-1] = mpf(1)
    moved = []
    for b, old in enumerate(gammas or [1.0] * bins):
        inside = [(r, right) for r, right in rows if _bin(r, tops) == b]
        over = sum(r - right for r, right in inside) / max(len(inside), 1)
        sign = 1 if old >= 0 else -1
        new = mpf(old) * mp.exp(sign * mpf(params.get("rate", 1.0)) * over)
        new = min(max(new, mpf(params.get("gamma_min", -2.0))), mpf(params.get("gamma_max", 20.0)))
        switch = mpf(params.get("switch", 0.2))
        moved.append(-sign * switch if abs(new) < switch else new)
    return {"gammas": [float(x) for x in moved], "bin_tops": [float(x) for x in tops]}


def adafocal() -> list[dict[str, Any]]:
    def case(source: str, inputs: Any, params: Any, shared: Any = None) -> dict[str, Any]:
        made = row_case(source, _value, inputs, params, wrt=Z, shared=shared)
        return made | {"state": _next(inputs, params, **(shared or {}))}

    wide = {
        "logits": [[50.0, -50.0, 0.0], [120.0, -120.0, 119.0], [1e4, -1e4, 0.0], [0.5, 0.0, 0.25]],
        "labels": [1, 0, 1, 0],
    }
    steep = {"bins": 3, "rate": 4.0, "gamma_max": 2.5, "gamma_min": -0.875, "switch": 0.625}
    sure = {"logits": [[1e4, 0.0]], "labels": [0]}
    return [
        case(f"smooth: {NAME}", ROWS, {"bins": 3}, STATE),
        case(f"smooth: {NAME}: bounds and changes of sign", ROWS, steep, STATE),
        case(f"smooth: {NAME}: a first call", ROWS, {"bins": 2}),
        # Without the state: there confidences are told apart that float64 cannot.
        row_case(f"{NAME}: logits to 1e4", _value, wide, {"bins": 3}, wrt=Z, shared=STATE),
        case("by hand: p is 1 to the last bit", sure, {"bins": 1}, {"gammas": [0.5]}),
    ]


CASES = {"adafocal": adafocal}
