"""Losses of reinforcement learning: policies, values and distributions of returns."""
