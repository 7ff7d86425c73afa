"""Negative log-likelihoods and scores of predicted distributions."""
