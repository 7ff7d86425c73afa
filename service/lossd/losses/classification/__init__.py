"""Losses on logits or probabilities over classes."""
