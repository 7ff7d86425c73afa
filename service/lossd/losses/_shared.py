"""What several calls compute of the same tensor, computed once.

A tensor that is lent knows where to look, and nothing else does: no global holds anything.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_ATTRIBUTE = "lossd_shared"
_Place = tuple[int, torch.dtype, torch.Size, tuple[int, ...]]


class Shared:
    """Log-softmaxes over axis 1, found again by the memory that their logits are in.

    The memory must not be written to meanwhile; it is kept as long as this is. One call at a time.
    With `in_graph` all calls are parts of one autograd graph, and a log-softmax is one node of it
    that the gradients of all of them pass through at once.
    """

    def __init__(self, *, in_graph: bool = False) -> None:
        self._in_graph = in_graph
        self._checked: dict[Hashable, tuple[Tensor, ...]] = {}
        self._cast: dict[tuple[_Place, torch.dtype], tuple[Tensor, Tensor]] = {}
        self._known: dict[_Place, list[tuple[Tensor, Tensor | None, Tensor]]] = {}

    def cast(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """The tensor in another dtype, made once."""
        if x.dtype == dtype:
            return x
        key = (_place(x), dtype)
        if key not in self._cast:
            self._cast[key] = x, x.to(dtype)
        return self._cast[key][1]

    def once(self, what: Hashable, tensors: tuple[Tensor, ...], check: Callable[[], None]) -> None:
        """Check something of tensors, unless they have passed it before. Raises what that does."""
        key = (what, *map(_place, tensors))
        if key not in self._checked:
            check()
            self._checked[key] = tensors

    def forget(self) -> None:
        """Let go of all that was computed, which tensors that were lent hold through this."""
        for each in (self._checked, self._cast, self._known):
            each.clear()

    def lend(self, x: Tensor) -> None:
        """Let losses of this tensor find what was computed of its memory."""
        setattr(x, _ATTRIBUTE, self)

    def log_softmax(self, logits: Tensor, ignored: Tensor | None) -> Tensor:
        """As of `log_softmax` below. Each caller's gradient passes through it on its own."""
        if ignored is not None and not bool(ignored.any()):
            ignored = None
        found = self._known.setdefault(_place(logits), [])
        if self._in_graph:
            return _node(found, logits, ignored)
        for _, mask, log_p in found:
            if _is_same(mask, ignored):
                return _differentiable(logits, ignored, log_p)
        with torch.no_grad():
            log_p = _log_softmax(logits, ignored)
        found.append((logits.detach(), ignored, log_p))
        return _differentiable(logits, ignored, log_p)


def _node(
    found: list[tuple[Tensor, Tensor | None, Tensor]], logits: Tensor, ignored: Tensor | None
) -> Tensor:
    """The log-softmax of the very same tensor that is in the graph if this one has to be."""
    needs_graph = logits.requires_grad and torch.is_grad_enabled()
    for x, mask, log_p in found:
        if x is logits and (log_p.requires_grad or not needs_graph) and _is_same(mask, ignored):
            return log_p
    log_p = _log_softmax(logits, ignored)
    found.append((logits, ignored, log_p))
    return log_p


def log_softmax(logits: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Log-probabilities over axis 1, of logits that are taken as 0 where an item is ignored."""
    shared: Shared | None = getattr(logits, _ATTRIBUTE, None)
    return _log_softmax(logits, ignored) if shared is None else shared.log_softmax(logits, ignored)


def _log_softmax(logits: Tensor, ignored: Tensor | None) -> Tensor:
    if ignored is not None:
        logits = logits.masked_fill(ignored.unsqueeze(1), 0.0)
    return torch.log_softmax(logits, dim=1)


def _place(x: Tensor) -> _Place:
    return x.data_ptr(), x.dtype, x.shape, x.stride()


def _is_same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return torch.equal(a, b)


def _differentiable(logits: Tensor, ignored: Tensor | None, log_p: Tensor) -> Tensor:
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return log_p
    found: Tensor = _Known.apply(logits, (ignored, log_p))  # type: ignore[no-untyped-call] # torch leaves it untyped
    return found


class _Known(torch.autograd.Function):
    """A log-softmax whose value is there already; its gradient has the bits of torch's own."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, known: tuple[Tensor | None, Tensor]) -> Tensor:
        ctx.known = known
        return known[1].detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ignored, log_p = ctx.known
        found: Tensor = torch.ops.aten._log_softmax_backward_data(gradient, log_p, 1, log_p.dtype)
        return (found if ignored is None else found.masked_fill(ignored.unsqueeze(1), 0.0)), None
