"""What losses of two views share: the similarity of every view with those of other rows."""

import torch
from torch import Tensor


def split_views(left: Tensor, right: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Scaled similarities: of each row's two views; and of each view with all of other rows.

    Negatives are (2 rows, 2 rows - 2): left views first, then right ones.
    """
    rows = len(left)
    views = torch.cat((left, right))
    similarity = (views / temperature) @ views.T
    itself = torch.eye(rows, dtype=torch.bool, device=left.device).repeat(2, 2)
    return similarity.diagonal(rows), similarity[~itself].view(2 * rows, max(2 * rows - 2, 0))
