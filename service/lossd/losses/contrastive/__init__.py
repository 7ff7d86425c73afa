"""Losses on pairs and batches of embeddings."""
