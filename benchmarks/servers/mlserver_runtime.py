"""Cross-entropy as a custom MLServer runtime, which speaks the Open Inference Protocol in JSON."""

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from torch import Tensor


class CrossEntropy(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        logits = torch.from_numpy(given["logits"]).requires_grad_()
        # The codec gives a vector a second dimension.
        labels = torch.from_numpy(given["labels"]).reshape(-1)
        rows = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        value = rows.mean()
        (gradients,) = torch.autograd.grad(value, logits)
        made = {"value": value.reshape(1), "rows": rows, "gradients.logits": gradients}
        wanted = [each.name for each in payload.outputs or []] or list(made)
        outputs = [_encoded(name, made[name]) for name in wanted]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def _encoded(name: str, x: Tensor) -> ResponseOutput:
    return NumpyCodec.encode_output(name, x.detach().numpy())
