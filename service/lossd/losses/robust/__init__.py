"""Losses that noisy labels or outliers mislead less."""
