"""What the row kernels write: the rows of one array of float64, and what is wrong with a row."""

USABLE, NOT_FINITE, IMPOSSIBLE, BAD_LABEL = 0, 1, 2, 3
LOG_P, MISS, CONFIDENCE, MARGIN, ENTROPY, RESIDUAL, LOG_SUM_EXP = range(7)
LARGEST, SMALLEST, TOTAL = range(7, 10)
FLOATS = 10

# Kernels measure some rows at once, each in a lane: of one flat array that has so many numbers for
# each thing that is known of a row. First its columns, then what they are made of, at these places.
# One array and a constant stride tell the compiler that nothing overlaps.
LANES = 64
KNOWN = 18
PLACE, BAD, OWN, OTHERS, SQUARES, DISTANCE, NEXT, ABOVE = (
    LANES * each for each in range(FLOATS, KNOWN)
)
MOST, LEAST, SUM = LANES * LARGEST, LANES * SMALLEST, LANES * TOTAL
