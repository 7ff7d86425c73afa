"""torchvision's losses, on a torch for which its compiled operators were not built."""

import importlib

import torch

# Importing torchvision describes operators that only its compiled part defines.
for _name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{_name}", "(Tensor x, Tensor y, float z) -> Tensor")

_ops = importlib.import_module("torchvision.ops")
generalized_box_iou_loss = _ops.generalized_box_iou_loss
distance_box_iou_loss = _ops.distance_box_iou_loss
complete_box_iou_loss = _ops.complete_box_iou_loss
