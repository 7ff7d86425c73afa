"""Message to `Objective`: everything is checked but the numbers in the tensors."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from lossd.errors import BadOption, LossdError, TooLarge, WrongShape
from lossd.losses import LossSpec, Shared, find
from lossd.objectives.balancing import Balance, check_shared, check_size, read_balance
from lossd.objectives.coefficients import Weight, read_weight, scheduled
from lossd.objectives.objective import Objective, ObjectiveOptions, Term
from lossd.objectives.selection import Selection, parse_selection
from lossd.objectives.states import with_states
from lossd.schema import Call, parse_call
from lossd.schema.named import loss_of, members_of, names_of, sources_of, within
from lossd.schema.options import first_fault
from lossd.wire import Message

_CALL = ("reduction", "mining", "class_axis")  # as in a call of a batch
_FIELDS = ("name", "loss", "inputs", "params", "row_weights", "rows", "weight", *_CALL)
_BODY = frozenset({"terms", "balance", "state"})


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Errors that are raised in this block are at that place of the request, or below it."""
    try:
        yield
    except LossdError as err:
        raise within(place, err) from err


def parse_objective(message: Message, *, most_terms: int, most_elements: int) -> Objective:
    """The objective that a message asks for.

    Raises `BadOption`, `TooLarge` where the terms are too many or take too many elements all in
    all, and whatever is wrong with a term, with its place.
    """
    options = _options_of(message.fields)
    _check_names(message)
    terms = message.fields.get("terms")
    if not isinstance(terms, list) or not terms:
        raise BadOption("no terms", at="terms", expected="a list of terms", got=repr(terms)[:100])
    if len(terms) > most_terms:
        expected = f"at most {most_terms} (LOSSD_MAX_BATCH_CALLS)"
        raise TooLarge("too many terms", at="terms", expected=expected, got=str(len(terms)))
    names = names_of(terms, "terms")
    with at_place("state"):
        state, said = message.fields.get("state"), message.fields.get("balance")
        terms, said = with_states(terms, said, state, names)
    with at_place("balance"):
        balance = read_balance(said, names)
    parser = _Parser(message, options, names, most_elements)
    found = [parser.term(i, each) for i, each in enumerate(terms)]
    possible = _possible(found)
    asked = options.wrt
    wrt = _named(message, possible, asked, "wrt") if options.wants_gradients else {}
    shared: tuple[str, ...] = ()
    if balance is not None and balance.needs_gradients:
        with at_place("balance"):
            among = possible if asked is None else _named(message, possible, asked, "wrt")
            shared = _shared(message, balance, possible, among, found)
            check_shared(shared, balance)
    tasks = () if balance is None else _tasks(balance, shared, found)
    if balance is not None:
        elements = sum(message.tensors[name].numel() for name in shared)
        with at_place("balance"):
            check_size(balance, tasks, elements, most_elements)
    wanted = {*wrt, *shared}
    return Objective(
        message.tensors,
        tuple(_narrowed(term, wanted) for term in found),
        options,
        {name: _dtype(options, dtype) for name, dtype in wrt.items()},
        balance,
        shared,
        tasks,
    )


def _tasks(balance: Balance, shared: tuple[str, ...], terms: list[Term]) -> tuple[str, ...]:
    """The names of the terms that are balanced, in the order that is given, or of the terms."""
    if balance.terms is not None:
        return tuple(balance.terms)
    takes_all = not balance.needs_gradients
    return tuple(x.name for x in terms if takes_all or not {*shared}.isdisjoint(x.leaves))


def _check_names(message: Message) -> None:
    """Raises `BadOption` where a tensor is named like a group: an answer could not hold both."""
    for name in message.tensors:
        group, _, member = name.partition("/")
        if member and group in message.tensors:
            raise BadOption(
                "both a tensor and a group have this name",
                at=f"tensors.{group}"[:200],
                expected="another name for one of them",
                got=name[:100],
            )


def _dtype(options: ObjectiveOptions, own: torch.dtype) -> torch.dtype:
    asked = options.gradient_dtype
    found: torch.dtype = getattr(torch, asked) if asked else own
    return found


def _options_of(fields: Mapping[str, Any]) -> ObjectiveOptions:
    try:
        return ObjectiveOptions.model_validate(
            {key: x for key, x in fields.items() if key not in _BODY}
        )
    except ValidationError as err:
        message, at, expected, got = first_fault(err, ObjectiveOptions)
        if err.errors()[0]["type"] == "extra_forbidden":
            known = sorted({"tensors", *_BODY, *ObjectiveOptions.model_fields})
            expected = f"one of {', '.join(known)}"
        raise BadOption(message, at=at, expected=expected, got=got) from err


class _Parser:
    """Reads the terms of one message; those that take a tensor alike get the same one."""

    def __init__(
        self, message: Message, options: ObjectiveOptions, names: list[str], most_elements: int
    ) -> None:
        self._message, self._options, self._names = message, options, names
        self._most_elements = self._left = most_elements
        self._shared = Shared(in_graph=True)
        self._read: dict[Any, Tensor] = {}
        self._selected: dict[str, tuple[Selection, Tensor]] = {}
        self._gathered: dict[tuple[str, str], Tensor] = {}

    def term(self, i: int, said: Any) -> Term:
        """One term. Raises what is wrong with it."""
        at = f"terms[{i}]"
        with at_place(at):
            if not isinstance(said, dict):
                raise BadOption("not a term", expected="an object", got=repr(said)[:100])
            for key in said:
                if key not in _FIELDS:
                    expected = f"one of {', '.join(_FIELDS)}"
                    raise BadOption(f"unknown field {key[:100]!r}", at=key[:100], expected=expected)
            spec = find(loss_of(said))
            with at_place("weight"):
                others = [each for each in self._names if each != self._names[i]]
                weight = read_weight(said.get("weight", 1.0), self._options.step, others)
            return self._term_of(spec, said, at, self._names[i], weight)

    def _term_of(self, spec: LossSpec, said: Any, at: str, name: str, weight: Weight) -> Term:
        sources = sources_of(self._message, said)
        selection, rows = said.get("rows"), None
        if selection is not None:
            with at_place("rows"):
                rows = self._rows(spec, selection)  # and it is text
        tensors: dict[str, Tensor] = {}
        for key, source in sources.items():
            x = self._message.tensors[source]
            self._take(x.numel())
            if selection is not None and rows is not None and _is_of_rows(spec, key):
                with at_place(_place_of(key)):
                    x = self._gather(source, selection, rows)
            tensors[key] = x
        untyped = frozenset(k for k, source in sources.items() if source in self._message.untyped)
        call = parse_call(spec.name, Message(tensors, self._fields(spec, said), untyped))
        inputs = {
            key: self._read.setdefault((sources[key], selection, *_form_of(call, key, x)), x)
            for key, x in call.inputs.items()
        }
        if spec.matrices:
            self._take(call.paired_elements)
        call = replace(call, inputs=inputs, shared=self._shared)
        return Term(name, at, call, sources, weight, selection, rows)

    def _fields(self, spec: LossSpec, said: dict[str, Any]) -> dict[str, Any]:
        """The fields of the call that a term is."""
        if said.get("reduction") not in (None, "mean", "sum"):
            raise BadOption(
                "a term has a value", at="reduction", expected="mean or sum",
                got=repr(said["reduction"])[:100],
            )  # fmt: skip
        fields = {key: said[key] for key in _CALL if key in said}
        params = said.get("params", {})
        if isinstance(params, dict):
            params = {key: self._param(key, x) for key, x in params.items()}
        outputs = ["value", "gradients"]
        outputs += ["rows"] if "rows" in self._options.outputs else []
        outputs += ["state"] if spec.state is not None else []
        return fields | {
            "params": params,
            "outputs": outputs,
            "dtype": self._options.dtype,
            "nonfinite": self._options.nonfinite,
        }

    def _param(self, key: str, said: Any) -> Any:
        if not isinstance(said, dict) or "schedule" not in said:
            return said
        with at_place(f"params.{key}"[:200]):
            return scheduled(said, self._options.step)

    def _rows(self, spec: LossSpec, text: Any) -> Tensor:
        """The rows that an expression chooses, worked out once."""
        if not any(each.scope == "row" for each in spec.inputs.values()):
            raise BadOption(f"{spec.name} has no rows to choose", got=repr(text)[:100])
        if isinstance(text, str) and text in self._selected:
            return self._selected[text][1]
        selection = parse_selection(text, self._message.tensors)
        count = self._message.tensors[selection.names[0]].numel()
        self._take(count * selection.comparisons)
        rows = selection.rows(self._message.tensors)
        self._selected[text] = selection, rows
        return rows

    def _gather(self, name: str, text: str, rows: Tensor) -> Tensor:
        x = self._message.tensors[name]
        compared = self._message.tensors[self._selected[text][0].names[0]]
        if x.ndim == 0 or x.shape[0] != len(compared):
            raise WrongShape(
                "not as many rows as what chooses them",
                expected=str(len(compared)),
                got=str(list(x.shape)),
            )
        key = (name, text)
        if key not in self._gathered:
            self._gathered[key] = _rows_of(x, rows)
        return self._gathered[key]

    def _take(self, elements: int) -> None:
        self._left -= elements
        if self._left < 0:
            raise TooLarge(
                "the terms take too many elements, all in all",
                expected=f"at most {self._most_elements} (LOSSD_MAX_BATCH_ELEMENTS)",
                got="more",
            )


# What torch takes no rows of has the bits of one that it does.
_ALIKE = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64,
          torch.float8_e4m3fn: torch.int8, torch.float8_e5m2: torch.int8}  # fmt: skip


def _rows_of(x: Tensor, rows: Tensor) -> Tensor:
    return x.view(_ALIKE.get(x.dtype, x.dtype)).index_select(0, rows).view(x.dtype)


def _form_of(call: Call, key: str, x: Tensor) -> tuple[Any, ...]:
    """How a call takes a tensor: with its classes moved from an axis, a square one looks alike."""
    assert call.plan is not None
    moves = any(each.key == key and each.moves_classes for each in call.plan.inputs)
    axis = call.options.class_axis if moves else None
    return axis, x.dtype, x.shape, x.stride()


def _is_of_rows(spec: LossSpec, key: str) -> bool:
    want = spec.inputs.get(key.partition("/")[0])
    return key == "row_weights" or (want is not None and want.scope == "row")


def _place_of(key: str) -> str:
    return key if key == "row_weights" else f"inputs.{key.replace('/', '.', 1)}"[:200]


def _possible(terms: list[Term]) -> dict[str, torch.dtype]:
    """The tensors that gradients can be had of, and the dtypes of these."""
    possible: dict[str, torch.dtype] = {}
    for term in terms:
        for key in term.call.wrt:
            possible.setdefault(term.sources[key], term.call.inputs[key].dtype)
    return possible


def _named(
    message: Message, possible: Mapping[str, torch.dtype], names: list[str] | None, at: str
) -> dict[str, torch.dtype]:
    """Those of the possible tensors that are named, groups by their name; None is all of them.

    In the order of the body. Raises `BadOption`.
    """
    wanted = set(possible) if names is None else set()
    for i, name in enumerate(names or ()):
        named = {name, *members_of(message, name)} & possible.keys()
        if not named:
            raise BadOption(
                f"no gradient with respect to {name[:100]!r}",
                at=f"{at}[{i}]",
                expected=f"one of {', '.join(possible)}"[:200],
                got=name[:100],
            )
        wanted |= named
    return {name: possible[name] for name in message.tensors if name in wanted}


def _shared(
    message: Message,
    balance: Balance,
    possible: Mapping[str, torch.dtype],
    wrt: Mapping[str, torch.dtype],
    terms: list[Term],
) -> tuple[str, ...]:
    if balance.shared is not None:
        return tuple(_named(message, possible, balance.shared, "shared"))
    takers = Counter(name for term in terms for name in term.leaves)
    return tuple(name for name in wrt if takers[name] > 1)


def _narrowed(term: Term, wanted: Collection[str]) -> Term:
    keys = tuple(key for key in term.call.wrt if term.sources[key] in wanted)
    if keys == term.call.wrt:
        return term
    return replace(term, call=replace(term.call, wrt=keys))
