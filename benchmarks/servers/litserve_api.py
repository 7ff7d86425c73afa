"""Cross-entropy as a LitServe API: lists in, lists out, one worker."""

import sys
from typing import Any

import litserve
import torch
from torch import Tensor


class CrossEntropy(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.device = device

    def decode_request(self, request: dict[str, Any]) -> tuple[Tensor, Tensor]:
        return torch.tensor(request["logits"]), torch.tensor(request["labels"])

    def predict(self, call: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        logits, labels = call
        logits.requires_grad_()
        with torch.enable_grad():
            rows = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            value = rows.mean()
            (gradients,) = torch.autograd.grad(value, logits)
        return value, rows, gradients

    def encode_response(self, answer: tuple[Tensor, Tensor, Tensor]) -> dict[str, Any]:
        value, rows, gradients = answer
        return {"value": value.item(), "rows": rows.tolist(), "gradients": gradients.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        CrossEntropy(api_path="/cross_entropy"), accelerator="cpu", workers_per_device=1
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
