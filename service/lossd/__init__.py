"""lossd: losses, every row's loss and their gradients, over HTTP."""

__version__ = "0.1.0"
