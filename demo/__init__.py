"""The demonstration: real outputs of a real model through every loss."""
