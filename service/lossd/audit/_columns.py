"""What the row kernels write: the rows of one array of float64, and what is wrong with a row."""

USABLE, NOT_FINITE, IMPOSSIBLE, BAD_LABEL = 0, 1, 2, 3
LOG_P, MISS, CONFIDENCE, MARGIN, ENTROPY, RESIDUAL, LOG_SUM_EXP = range(7)
LARGEST, SMALLEST, TOTAL = range(7, 10)
FLOATS = 10
