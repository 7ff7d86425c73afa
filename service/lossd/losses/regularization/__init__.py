"""Penalties on weights."""
