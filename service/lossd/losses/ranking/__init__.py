"""Losses of ranking: lists of documents that should come in the order of their relevance."""
