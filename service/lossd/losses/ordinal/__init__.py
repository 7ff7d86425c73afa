"""Losses of ordered classes: being off by one is better than being off by two."""
