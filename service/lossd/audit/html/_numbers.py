"""Numbers as a reader wants them: few digits, thousands apart, a true minus."""

import math
from collections.abc import Sequence

NONE = "\N{EN DASH}"
_THIN = "\N{NARROW NO-BREAK SPACE}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIGITS = 4

Pair = Sequence[float]


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def count(value: int | None) -> str:
    """1234567 as 1,234,567."""
    return NONE if value is None else _signed(f"{value:,}")


def plural(value: int, noun: str, nouns: str = "") -> str:
    """1 row, 2 rows."""
    return f"{count(value)} {noun if value == 1 else nouns or noun + 's'}"


def compact(value: int) -> str:
    """A count in at most four characters: 950, 1.2k, 34k, 5.6M."""
    size, unit = float(value), ""
    for larger in "kMGT":
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f}{unit}" if unit and size < 9.95 else f"{size:.0f}{unit}"


def number(value: float | None, digits: int = _DIGITS) -> str:
    """A number in significant digits; powers of ten where it is far from one."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 < exponent < 7:
        power = str(exponent).translate(_RAISED)
        scaled = (
            value / 10.0**exponent if exponent > -300 else value * 1e300 / 10.0 ** (exponent + 300)
        )
        return (
            _signed(f"{scaled:.{digits - 1}f}") + f"{_THIN}\N{MULTIPLICATION SIGN}{_THIN}10{power}"
        )
    return _signed(f"{value:,.{max(0, digits - 1 - exponent)}f}")


def short(value: float | None) -> str:
    """A number without zeros at its end, for sentences."""
    words = number(value)
    return words.rstrip("0").rstrip(".") if words[-1:] == "0" and "." in words else words


def _decimals(value: float) -> int:
    """Of a percentage: more of them close to 0 and 100, where they matter."""
    distance = min(abs(value), abs(1 - value))
    if distance == 0 or distance >= 0.0005:
        return 1
    return 2 if distance >= 0.00005 else 3


def percent(value: float | None) -> str:
    """0.973 as 97.3 %."""
    if value is None:
        return NONE
    return _signed(f"{100 * value:.{_decimals(value)}f}{_THIN}%")


def column_percent(value: float | None) -> str:
    """The same for a column of them: one decimal always."""
    if value is not None and 0 < value < 0.0005:
        return f"< 0.1{_THIN}%"
    return NONE if value is None else _signed(f"{100 * value:.1f}{_THIN}%")


def points(value: float | None) -> str:
    """A difference of shares: 0.031 as 3.1 points."""
    if value is None:
        return NONE
    return _signed(f"{100 * value:.{_decimals(value)}f}{_THIN}points")


def between(pair: Pair | None) -> str:
    """An interval of a number."""
    return NONE if pair is None else f"{number(pair[0])} to {number(pair[1])}"


def percents(pair: Pair | None) -> str:
    """An interval of a share."""
    if pair is None:
        return NONE
    low, high = percent(pair[0]).removesuffix(f"{_THIN}%"), percent(pair[1])
    return f"{low} to {high}"


def change(value: float | None) -> str:
    """A difference of shares as points, with its sign and without a unit: 0.031 as +3.1."""
    return NONE if value is None else _signed(f"{100 * value:+.1f}")


def changes(pair: Pair | None) -> str:
    """An interval of such a difference."""
    return NONE if pair is None else f"{change(pair[0])} to {change(pair[1])}"


def change_label(value: float) -> str:
    """A round one on an axis."""
    return _signed(f"{100 * value:+.10g}") if value else "0"


def probability(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in a range, about so many, at steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * each for each in (1, 2, 5, 10, 20) if span / (power * each) <= most)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_label(value: float) -> str:
    """A round number, short."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        return _signed(f"{value:,.10g}" if abs(value) < 1000 else f"{value:,.0f}")
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = f"{value / 10.0**exponent:.3g}"
    power = f"10{str(exponent).translate(_RAISED)}"
    return _signed(power if mantissa == "1" else f"{mantissa}\N{MULTIPLICATION SIGN}{power}")


def share_label(value: float) -> str:
    """A round share on an axis: 0.25 as 25 %."""
    return f"{_signed(f'{100 * value:.10g}')}{_THIN}%"
