"""What the C library does with memory that is let go of."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_LARGEST_THRESHOLD = 32 << 20  # that glibc takes


def keep_freed_memory(most_bytes: int) -> None:
    """Have the C library keep up to so many free bytes, for the whole process.

    By itself glibc gives back what is free at the end of its heap beyond twice the largest block
    that was freed, and a plain function's tensors are new pages again and again: of calls of 4 MB
    these page faults are up to half of the time. Does nothing where there is no glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and most_bytes:
        mallopt(_M_MMAP_THRESHOLD, min(most_bytes, _LARGEST_THRESHOLD))
        mallopt(_M_TRIM_THRESHOLD, min(most_bytes, (1 << 31) - 1))
