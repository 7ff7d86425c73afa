"""Losses of masks: how far predicted regions overlap the true ones."""
