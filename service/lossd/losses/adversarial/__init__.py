"""Losses of adversarial training and of generative adversarial networks."""
