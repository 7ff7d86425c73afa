"""Routers only, a file per first path part. Nothing here knows what a loss computes."""
