"""Losses of survival analysis: times until an event, of which some are only known to be later."""
