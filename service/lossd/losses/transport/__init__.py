"""Losses of optimal transport: what it costs to turn one distribution into another."""
