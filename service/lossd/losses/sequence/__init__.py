"""Losses of sequences: of all ways through time, those that spell the labels."""
