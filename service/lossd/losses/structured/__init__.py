"""Losses built from an optimisation: over distributions, over outputs, over a whole ranking."""
