"""What one writes at home: FastAPI, pydantic models with lists, torch's autograd, `tolist()`.

`/cross_entropy` declares what it answers, so that FastAPI writes it by pydantic; `/as_dict` returns
a dict without saying so, which FastAPI walks through in Python.
"""

import sys
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Call(BaseModel):
    logits: list[list[float]]
    labels: list[int]


class Answer(BaseModel):
    value: float
    rows: list[float]
    gradients: list[list[float]]


def compute(call: Call) -> dict[str, Any]:
    logits = torch.tensor(call.logits, requires_grad=True)
    rows = torch.nn.functional.cross_entropy(logits, torch.tensor(call.labels), reduction="none")
    value = rows.mean()
    (gradients,) = torch.autograd.grad(value, logits)
    return {"value": value.item(), "rows": rows.tolist(), "gradients": gradients.tolist()}


@app.post("/cross_entropy")
def cross_entropy(call: Call) -> Answer:
    return Answer(**compute(call))


@app.post("/as_dict")
def as_dict(call: Call):
    return compute(call)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
