"""Which device computes."""

import torch


def pick_device(name: str) -> torch.device:
    """The device that a setting names; `auto` is CUDA where there is one.

    Raises `RuntimeError` if it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise RuntimeError(f"LOSSD_DEVICE={name}, but there are {count} CUDA devices")
    return device
