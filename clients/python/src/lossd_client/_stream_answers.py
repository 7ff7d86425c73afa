"""What a stream answers: to each batch, and in the end.

Imported only where streams are used: pyarrow is the extra `arrow`.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from lossd_client._columns import to_numpy
from lossd_client._stream_wire import Note
from lossd_client.errors import LossdError
from lossd_client.result import Warned, nested

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class StreamBatch:
    """The answer to one batch, or to a piece of a larger one.

    - `record_batch`: of pyarrow: the columns that pass through, `rows`, `gradients.<input>`.
    - `number`, `first_row`: which of the batches given it answers, and from which row of it on.

    Arrays are views of the record batch's memory, and read-only.
    """

    record_batch: Any
    number: int
    first_row: int

    def __len__(self) -> int:
        return int(self.record_batch.num_rows)

    def __getitem__(self, name: str) -> Array:
        """A column as an array (rows, ...). Raises `KeyError`."""
        return to_numpy(self.record_batch.column(name))

    @property
    def rows(self) -> Array:
        """The values of the loss."""
        return self["rows"]

    @property
    def gradients(self) -> dict[str, Any]:
        """Gradients of the sum of all values, by input; empty if not asked for."""
        return self._named("gradients")

    @property
    def row_norms(self) -> dict[str, Any]:
        """The Euclidean norm of each row's gradient, if that form was asked for."""
        return self._named("gradient_row_norms")

    @property
    def top_k_indices(self) -> dict[str, Any]:
        """Where in each row the gradient is largest, if that form was asked for."""
        return self._named("gradient_top_k_indices")

    @property
    def top_k_values(self) -> dict[str, Any]:
        """The gradient there."""
        return self._named("gradient_top_k_values")

    def _named(self, prefix: str) -> dict[str, Any]:
        names = [name for name in self.record_batch.schema.names if name.startswith(f"{prefix}.")]
        return nested({name: self[name] for name in names}, prefix)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a whole stream comes to.

    - `value`: sum / denominator for a mean; None where nothing counts, or for reduction none.
    - `count`: number of values, ignored ones included. `batches`: how many were computed.
    - `params`: every parameter as used. `recipe`: what gradients of that form are made of.
    """

    loss: str
    version: int
    value: float | None
    sum: float
    denominator: float
    count: int
    batches: int
    params: dict[str, Any]
    warnings: tuple[Warned, ...]
    recipe: dict[str, Any] | None = None


def summary_of(note: Note) -> Summary:
    """Raises `LossdError` for a note that is no summary."""
    try:
        return Summary(
            loss=note["loss"],
            version=note["version"],
            value=None if note["value"] is None else float(note["value"]),
            sum=float(note["sum"]),
            denominator=float(note["denominator"]),
            count=int(note["count"]),
            batches=int(note["batches"]),
            params=note["params"],
            warnings=tuple(Warned(each["code"], each["detail"]) for each in note["warnings"]),
            recipe=note.get("recipe"),
        )
    except (KeyError, TypeError, ValueError) as err:
        detail = f"the service answered a stream without a summary: {type(err).__name__} {err}"
        raise LossdError(detail[:500]) from err
