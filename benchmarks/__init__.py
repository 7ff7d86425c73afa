"""`python -m benchmarks`: every benchmark, or those named."""
