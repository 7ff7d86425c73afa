"""K tasks: their losses, and their gradients or the Gramian of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lossd.errors import MissingInput, NotFinite, OutOfRange, TooLarge, UnexpectedInput, WrongShape
from lossd.schema.call import Warned

Array = NDArray[np.float64]
MOST_TASKS = 256
SYMMETRY_TOLERANCE = 1e-5  # of the norms' product: what float32 leaves of a sum over parameters
EIGENVALUE_TOLERANCE = 1e-5  # of the cosines' largest eigenvalue, likewise
SMALLEST_NORM = 1e-145  # of a gradient that is not 0: the square of its square is a float64


@dataclass(frozen=True, slots=True, eq=False)
class Tasks:
    """What is known of K tasks. All arrays are float64.

    - `losses`: (K,), the value of each task's loss.
    - `gramian`: (K, K), the inner products of the tasks' gradients with respect to the shared
      parameters.
    - `gradients`: (K, P), those gradients; the Gramian follows from them.
    - `groups`: by name, the Gramian (K, K) of a part of the parameters, a layer for instance; they
      add up to the Gramian. In the order of the columns of `gradients`.
    - `widths`: how many columns of `gradients` each group has.
    - `norms`: (K,), the norms of the gradients, for methods that need no more of them.
    """

    losses: Array | None = None
    gramian: Array | None = None
    gradients: Array | None = None
    groups: Mapping[str, Array] = field(default_factory=dict)
    widths: tuple[int, ...] = ()
    norms: Array | None = None

    @classmethod
    def of_gradients(cls, members: Mapping[str, Any], losses: Any = None) -> Self:
        """Tasks by their gradients: of each group of parameters an array (K, ...).

        Raises `WrongShape` where the groups do not have the same K.
        """
        rows = {name: _as_rows(name, each) for name, each in members.items()}
        counts = {name: len(each) for name, each in rows.items()}
        for name, count in counts.items():
            first = next(iter(counts.values()))
            if count != first:
                raise WrongShape(
                    "not the same number of tasks in every group",
                    at=_place("gradients", name),
                    expected=f"{first} rows, one per task",
                    got=str(count),
                )
        if not rows:
            raise MissingInput("a group of no tensors", at="inputs.gradients")
        with np.errstate(over="ignore", invalid="ignore"):
            groups = {name: each @ each.T for name, each in rows.items()}
        return cls(
            losses=None if losses is None else np.asarray(losses, np.float64),
            gradients=np.concatenate(list(rows.values()), axis=1),
            groups=groups,
            widths=tuple(each.shape[1] for each in rows.values()),
        )

    @property
    def count(self) -> int:
        """How many tasks there are. Raises `MissingInput` where nothing is known of any."""
        for each in (self.losses, self.gramian, self.gradients, self.norms):
            if each is not None:
                return len(each)
        for each in self.groups.values():
            return len(each)
        raise MissingInput(
            "nothing is known of the tasks",
            at="inputs",
            expected="losses, a gramian or gradients",
            got="none of them",
        )


def _place(name: str, member: str) -> str:
    return f"inputs.{name}.{member}"[:200] if member else f"inputs.{name}"


def _as_rows(name: str, array: Any) -> Array:
    given = np.asarray(array, np.float64)
    if given.ndim < 1:
        raise WrongShape(
            "no axis of tasks", at=_place("gradients", name), expected="(tasks, ...)", got="()"
        )
    return given.reshape(len(given), -1)


def checked(tasks: Tasks) -> tuple[Tasks, tuple[Warned, ...]]:
    """The tasks with their Gramian, symmetric and without negative eigenvalues.

    Raises `MissingInput`, `UnexpectedInput`, `TooLarge`, `WrongShape`, `NotFinite`; `OutOfRange`
    where a Gramian is none, or too large for float64.
    """
    if tasks.gramian is not None and (tasks.gradients is not None or tasks.groups):
        raise UnexpectedInput(
            "both a Gramian and what it is made of",
            at="inputs.gramian",
            expected="a gramian, or gradients, or gramian groups",
            got="more than one of them",
        )
    tasks = _widened(tasks)
    count = tasks.count
    if not 1 <= count <= MOST_TASKS:
        raise TooLarge(
            "not a number of tasks", at="inputs", expected=f"1 to {MOST_TASKS}", got=str(count)
        )
    _check_array("losses", tasks.losses, (count,))
    _check_array("norms", tasks.norms, (count,))
    if tasks.norms is not None and (tasks.norms < 0).any():
        raise OutOfRange("a norm is negative", at="inputs.norms", expected="at least 0")
    if tasks.gradients is not None:
        _check_array("gradients", tasks.gradients, (count, tasks.gradients.shape[1]))
    warned: list[Warned] = []
    place = "gradients" if tasks.gradients is not None else "gramian_groups"
    groups = {
        name: _gramian(place, name, each, count, warned) for name, each in tasks.groups.items()
    }
    gramian = tasks.gramian
    if gramian is not None:
        gramian = _gramian("gramian", "", gramian, count, warned)
    elif groups:
        gramian = np.sum(list(groups.values()), axis=0)
    elif tasks.gradients is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            made = tasks.gradients @ tasks.gradients.T
        gramian = _gramian("gradients", "", made, count, warned)
    return replace(tasks, gramian=gramian, groups=groups), tuple(warned)


def _widened(tasks: Tasks) -> Tasks:
    """In float64, whatever the caller's arrays are."""

    def wide(array: Any) -> Any:
        return None if array is None else np.asarray(array, np.float64)

    return replace(
        tasks,
        losses=wide(tasks.losses),
        gramian=wide(tasks.gramian),
        gradients=wide(tasks.gradients),
        groups={name: wide(each) for name, each in tasks.groups.items()},
        norms=wide(tasks.norms),
    )


def _check_array(name: str, array: Array | None, shape: tuple[int, ...], member: str = "") -> None:
    if array is None:
        return
    at = _place(name, member)
    if array.shape != shape:
        raise WrongShape(
            "not of the shape that the number of tasks makes it",
            at=at,
            expected=str(list(shape)),
            got=str(list(array.shape)),
        )
    finite = np.isfinite(array)
    if not finite.all():
        where = np.argwhere(~finite)[:10].tolist()
        raise NotFinite("not a finite number", at=at, expected="finite numbers", indices=where)


def _gramian(name: str, member: str, given: Array, count: int, warned: list[Warned]) -> Array:
    """A Gramian as it should be: symmetric, of no negative eigenvalue. Rounding is forgiven."""
    at = _place(name, member)
    if name == "gradients" and not np.isfinite(given).all():
        raise OutOfRange("gradients too large for float64", at=at, expected="norms below 1e150")
    _check_array(name, given, (count, count), member)
    size = float(np.abs(given).max())
    if size > 1e300:
        raise OutOfRange("too large", at=at, expected="at most 1e300", got=f"{size:g}")
    lengths = np.sqrt(np.maximum(np.diag(given), 0.0))
    lengths = np.where(lengths > SMALLEST_NORM, lengths, 0.0)
    inverse = np.divide(1.0, lengths, out=np.zeros(count), where=lengths > 0)
    # To each element the product of the norms is what rounding is relative to.
    cosines = (inverse[:, None] * given) * inverse
    _check_symmetry(at, given, cosines, size)
    cosines = 0.5 * (cosines + cosines.T)
    values, vectors = np.linalg.eigh(cosines)
    none = ~(lengths > 0)
    stray = float(np.abs(given[none]).max(initial=0.0))
    if values[0] < -EIGENVALUE_TOLERANCE * max(values[-1], 1.0) or stray > SMALLEST_NORM * size:
        raise OutOfRange(
            "the Gramian has a negative eigenvalue, so it is of no gradients",
            at=at,
            expected="a smallest eigenvalue of 0 or more, to rounding by float32",
            got=f"{float(np.linalg.eigvalsh(0.5 * (given + given.T))[0]):g}",
        )
    if values[0] < -32 * count * np.finfo(float).eps * max(values[-1], 1.0):
        detail = f"{at}: it has negative eigenvalues, as of rounding; they are taken as 0"
        warned.append(Warned("gramian_rounded", detail))
        cosines = (vectors * np.maximum(values, 0.0)) @ vectors.T
        cosines = 0.5 * (cosines + cosines.T)
    made: Array = (lengths[:, None] * cosines) * lengths
    return made


def _check_symmetry(at: str, given: Array, cosines: Array, size: float) -> None:
    difference = np.maximum(np.abs(cosines - cosines.T), np.abs(given - given.T) / (size or 1.0))
    if difference.max() > SYMMETRY_TOLERANCE:
        where = [int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape)]
        raise OutOfRange(
            "the Gramian is not symmetric",
            at=at,
            expected="element [i, j] equal to [j, i]",
            got=f"{given[where[0], where[1]]:g} and {given[where[1], where[0]]:g}",
            indices=[where],
        )
