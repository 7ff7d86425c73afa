"""How numbers and names are said in sentences."""

_LONGEST = 60


def quoted(name: str) -> str:
    """A name from outside, on one line and not endless."""
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def percent(share: float) -> str:
    """A share, with a digit after the point."""
    return f"{100 * share:.1f} %"


def p_value(p: float) -> str:
    """A p-value, after its sign."""
    return f"= {p:.2g}" if p >= 1e-12 else "< 1e-12"
