"""cosent, angle, global_orthogonal_regularization: by sentence-transformers."""

from typing import Any

from torch import Tensor

from references._sbert import LOSSES, SBERT
from references._torch import randoms, torch_case

LEFT, RIGHT = randoms(341, 5, 4), randoms(342, 5, 4)
FAR = [[1e4, -1e4, 0.0], [0.0, 3.0, 4.0], [2.0**-18, 2.0**-19, -(2.0**-18)]]


def _ordered(name: str) -> Any:
    def cases() -> list[dict[str, Any]]:
        def case(
            source: str, scale: float = 20.0, left: Any = LEFT, right: Any = RIGHT, **more: Any
        ) -> Any:
            loss = LOSSES[name](None, scale=scale)

            def f(left: Tensor, right: Tensor, grades: Tensor) -> Tensor:
                return loss.compute_loss_from_embeddings([left, right], grades)

            grades = more.get("grades", [0.25, 1.0, 0.5, 0.25, 0.0])
            return torch_case(
                f"{source}{SBERT} {name}",
                f,
                {"left": left, "right": right, "grades": grades},
                {"scale": scale},
                wrt=("left", "right"),
            )

        far = {"left": FAR, "right": FAR[::-1], "grades": [0.5, -1e4, 3.0]}
        return [
            case("smooth: "),
            case("smooth: ", 2.0),
            case("lengths from 1e-5 to 1e4, an odd number of features: ", 5.0, **far),
            {
                "from": "by hand: one grade only, so there is no order",
                "inputs": {
                    "left": [[1.0, 0.0], [0.0, 2.0]],
                    "right": [[1.0, 1.0], [3.0, 0.5]],
                    "grades": [0.5, 0.5],
                },
                "params": {},
                "values": 0.0,
                "gradients": {"left": [[0.0, 0.0]] * 2, "right": [[0.0, 0.0]] * 2},
            },
        ]

    return cases


def global_orthogonal_regularization() -> list[dict[str, Any]]:
    def case(
        source: str, embeddings: Any, mean: float = 1.0, moment: float = 1.0
    ) -> dict[str, Any]:
        loss = LOSSES["GlobalOrthogonalRegularizationLoss"](None)

        def f(embeddings: Tensor) -> Tensor:
            terms = loss.compute_gor(embeddings)
            return mean * terms[0] + moment * terms[1]

        return torch_case(
            f"{source}{SBERT} GlobalOrthogonalRegularizationLoss",
            f,
            {"embeddings": embeddings},
            {"mean_weight": mean, "moment_weight": moment},
            wrt=("embeddings",),
        )

    return [
        case("smooth: ", LEFT),
        case("smooth: ", RIGHT, 0.25, 4.0),
        case("lengths from 1e-5 to 1e4: ", FAR),
        {
            "from": "by hand: a row alone has nothing to be apart from",
            "inputs": {"embeddings": [[1.0, 2.0]]},
            "params": {},
            "values": 0.0,
            "gradients": {"embeddings": [[0.0, 0.0]]},
        },
    ]


CASES = {
    "cosent": _ordered("CoSENTLoss"),
    "angle": _ordered("AnglELoss"),
    "global_orthogonal_regularization": global_orthogonal_regularization,
}
