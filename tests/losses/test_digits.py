"""float32 keeps its digits where a plain formula loses them."""

import pytest
import torch
from identity_terms import of


@pytest.mark.parametrize("exponent", range(-18, 5))
def test_log_cosh_keeps_the_digits_of_float32_at_every_size(exponent: int) -> None:
    size = torch.tensor([1.0, 1.37, 3.11, 7.77], dtype=torch.float64) * 10.0**exponent
    size = size.float().requires_grad_()
    value = of("log_cosh", {"prediction": size, "target": torch.zeros_like(size)})
    (gradient,) = torch.autograd.grad(value.sum(), size)
    d = size.detach().double()
    far = d + torch.log1p(torch.exp(-2 * d)) - torch.tensor(2.0, dtype=torch.float64).log()
    series = d.square() / 2 - d.pow(4) / 12
    want = torch.where(d < 1e-3, series, far)
    torch.testing.assert_close(value.detach().double(), want, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient.double(), torch.tanh(d), rtol=1e-6, atol=0)


@pytest.mark.parametrize("q", [1e-30, 1e-12, 1e-7, 1e-4, 0.3, 1.0])
def test_generalized_cross_entropy_keeps_the_digits_of_float32_at_every_q(q: float) -> None:
    torch.manual_seed(0)
    logits, labels = 5 * torch.randn(200, 10), torch.randint(10, (200,))
    made = [
        of("generalized_cross_entropy", {"logits": each, "labels": labels}, q=q).double()
        for each in (logits, logits.double())
    ]
    torch.testing.assert_close(*made, rtol=2e-6, atol=5e-7)
