"""`/v1/objectives`: several losses as one, with one combined gradient; and ready-made ones."""

from typing import Any

from fastapi import APIRouter

from lossd.api.body import BodyReader, Sent
from lossd.api.calls import SMALL_ELEMENTS
from lossd.api.clock import Clock
from lossd.api.exchange import Answer, Handle, Incoming
from lossd.engine import Admission, Bench, Engine
from lossd.objectives.compute import compute_objective
from lossd.objectives.objective import Objective
from lossd.objectives.parse import at_place, parse_objective
from lossd.objectives.ready import TEMPLATES, find_template
from lossd.objectives.reply import to_messages
from lossd.settings import Settings
from lossd.wire import Message
from lossd.wire.batches import decode_batch, parts_with

PATH = "/v1/objectives"
QUICK_BYTES = 8 * 1024  # of larger ones the terms take longer to read than a thread to begin
router = APIRouter(prefix=PATH, tags=["objectives"])


@router.get("", summary="List the ready-made objectives")
def list_all() -> dict[str, list[dict[str, Any]]]:
    """Every template, without its body."""
    listed = [each.model_dump(exclude={"body"}) for each in TEMPLATES.values()]
    return {"objectives": listed}


@router.get("/{objective}", summary="A ready-made objective")
def one(objective: str) -> dict[str, Any]:
    """Its formula and source, and a body that works: put your tensors in place of its own."""
    return find_template(objective).model_dump()


class Objectives:
    """Several terms over tensors that are sent once: one value and one gradient by each."""

    def __init__(self, engine: Engine, admission: Admission, settings: Settings) -> None:
        self._engine, self._admission, self._settings = engine, admission, settings
        self._bodies = BodyReader(engine.buffers, settings)

    def match(self, rest: str) -> Handle | None:
        """The handler of objectives."""
        return None if rest else self._answer

    async def _answer(self, incoming: Incoming) -> Answer:
        with self._admission.enter() as lease:
            sent = await self._bodies.receive(incoming, lease)
            clock = Clock(incoming.seconds)
            parse, off_loop = self._parsed, self._engine.off_loop
            quick = sent.is_small(QUICK_BYTES)
            objective = parse(sent) if quick else await off_loop(parse, sent)
            clock.note("parse")

            def compute(bench: Bench) -> tuple[Message, dict[str, Message]]:
                return to_messages(objective, compute_objective(objective, bench))

            whole, terms = await self._engine.run(compute, timeout_s=self._settings.timeout_s)
            clock.note("compute")
            count = sum(x.numel() for each in (whole, *terms.values())
                        for x in each.tensors.values())  # fmt: skip
            args = (sent.writer, whole, "terms", terms)
            quick = count <= SMALL_ELEMENTS
            parts = parts_with(*args) if quick else await off_loop(parts_with, *args)
            clock.note("serialize")
            return Answer(sent.writer.media_type, parts)

    def _parsed(self, sent: Sent) -> Objective:
        settings = self._settings
        objective = parse_objective(
            decode_batch(sent.reader, sent.plain(settings), settings.max_elements),
            most_terms=settings.max_batch_calls,
            most_elements=settings.max_batch_elements,
        )
        for term in objective.terms:
            with at_place(term.at):
                self._engine.check_size(term.call)
        return objective
