"""Cases whose values foreign code gives too, where it gives no gradient or fewer digits."""

from typing import Any

import numpy as np


def agreeing(case: dict[str, Any], values: Any, rtol: float = 1e-12) -> dict[str, Any]:
    """The case, if the values are its own. Raises `AssertionError` where they are not."""
    np.testing.assert_allclose(np.array(case["values"], float), np.array(values), rtol=rtol)
    return case
