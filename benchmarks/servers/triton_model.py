"""Cross-entropy as a model of Triton's Python backend."""

import os
import sys

# The stub that runs this looks only where the interpreter's own packages are.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import torch  # noqa: E402 # needs the path
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {each.name(): torch.from_numpy(each.as_numpy()) for each in request.inputs()}
        logits = given["logits"].requires_grad_()
        rows = torch.nn.functional.cross_entropy(logits, given["labels"], reduction="none")
        value = rows.mean()
        (gradients,) = torch.autograd.grad(value, logits)
        made = {"value": value.reshape(1), "rows": rows, "gradients.logits": gradients}
        wanted = request.requested_output_names()
        outputs = [pb_utils.Tensor(name, made[name].detach().numpy()) for name in wanted]
        return pb_utils.InferenceResponse(outputs)
