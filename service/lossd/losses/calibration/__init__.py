"""Losses that make probabilities mean what they say, or unfamiliar inputs recognisable."""
