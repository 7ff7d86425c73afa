"""Losses on one score or probability per item."""
