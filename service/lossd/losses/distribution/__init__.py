"""Losses of and between distributions over classes."""
