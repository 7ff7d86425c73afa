"""Losses on embeddings with labels: pairs, triplets, proxies, and softmax with a margin."""
