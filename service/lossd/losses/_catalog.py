"""The catalog of losses: filled by `@loss` when the files are imported, read by everyone."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from torch import Tensor

from lossd.errors import UnknownLoss
from lossd.losses._linear import with_linear_inputs
from lossd.losses._spec import (
    Card,
    Coupling,
    Example,
    LossSpec,
    Proximal,
    Reduction,
    SoftmaxRecipe,
    inputs_of,
    read_signature,
)

_registered: dict[str, LossSpec] = {}
CATALOG: Mapping[str, LossSpec] = MappingProxyType(_registered)


def loss(
    *,
    formula: str,
    source: str,
    units: str,
    card: Card,
    example: Example,
    weights: Callable[..., Tensor] | None = None,
    exactly_one_of: tuple[tuple[str, ...], ...] = (),
    coupling: Coupling = "independent",
    reduction: Reduction = "mean",
    version: int = 1,
    recipe: SoftmaxRecipe | None = None,
    matrices: tuple[tuple[str, ...], ...] = (),
    linear: bool = False,
    state: Callable[..., Mapping[str, Tensor]] | None = None,
    proximal: Callable[..., Mapping[str, Proximal]] | None = None,
    topics: tuple[str, ...] = (),
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Put a loss in the catalog under its function's name, which must be its file's name too.

    - `formula`: LaTeX, of one item's value.
    - `source`: paper and equation, or the standard work.
    - `units`: of the value: nats, squared units of the target, ...
    - `weights`: each item's share of the denominator of a mean; None is 1 each. It takes by name
      the inputs that it needs, never one with a gradient, so that the denominator is known before
      the pass.
    - `exactly_one_of`: groups of optional inputs of which a call gives exactly one.
    - `coupling`: `independent` if no row's value depends on another row; calls that are not must
      never share a batch.
    - `recipe`: how a caller rebuilds the gradient of `logits` from one number per item.
    - `matrices`: pairs or triples of dimensions of which the loss builds a tensor, of each with
      each. Their elements count against the limit of a request.
    - `linear`: of a loss of one item per row of `logits`: the engine may make them of `hidden` and
      `classifier`, a few rows at a time. The function knows nothing of it.
    - `state`: the new state, by the name of each input whose role is state. It takes by name the
      inputs that it needs, and `params`; it sees all rows of a call at once, and has no gradient.
    - `proximal`: of penalties: argmin over w of penalty(w) + |w - v|^2 / (2 step) at the inputs v
      that have a gradient, by their names. It takes them, `step` and `params`.

    A dimension that is named as an integer parameter has that size.
    - `topics`: names of topics that neither the family nor the card's use says.
    """

    def register(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        *_, family, module = fn.__module__.split(".")
        name = fn.__name__
        if name in _registered or module != name:
            raise RuntimeError(f"{fn.__module__}: one loss per file, named after the file: {name}")
        signature, groups = read_signature(fn), exactly_one_of
        if linear:
            signature["inputs"], groups = with_linear_inputs(signature["inputs"], groups)
        spec = LossSpec(
            family=family,
            fn=fn,
            formula=formula,
            source=source,
            units=units,
            card=card,
            example=example,
            weights=weights,
            exactly_one_of=groups,
            coupling=coupling,
            reduction=reduction,
            version=version,
            recipe=recipe,
            matrices=matrices,
            linear=linear,
            state=state,
            proximal=proximal,
            topics=topics,
            **signature,
        )
        for key in spec.weights_inputs:
            if spec.inputs[key].arg.gradient:
                raise RuntimeError(f"{name}: {key} has a gradient and cannot weigh the denominator")
        _check_extras(spec)
        _registered[name] = spec
        return fn

    return register


def _check_extras(spec: LossSpec) -> None:
    """Raises `RuntimeError` where inputs and second functions do not fit each other."""
    if bool(spec.state_inputs) != bool(spec.state):
        raise RuntimeError(f"{spec.name}: a state needs both inputs of that role and a function")
    for key in spec.state_inputs:
        if spec.inputs[key].arg.gradient or spec.inputs[key].group:
            raise RuntimeError(f"{spec.name}: {key} is a state: one tensor, without a gradient")
    for fn in (spec.state, spec.proximal):
        unknown = set(() if fn is None else inputs_of(fn)) - set(spec.inputs)
        if unknown:
            raise RuntimeError(f"{spec.name}: there is no input {', '.join(sorted(unknown))}")
    if spec.state and spec.linear:
        raise RuntimeError(f"{spec.name}: a linear loss never has all its logits, so no state")


def find(name: str) -> LossSpec:
    """Look a loss up. Raises `UnknownLoss`, with the nearest name if one is near."""
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=1, cutoff=0.5)
    raise UnknownLoss(
        f"no loss is named {name[:100]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        at="loss",
        expected=near[0] if near else "a name that GET /v1/losses lists",
        got=name[:100],
    )


def discover(package: str, path: Iterable[str]) -> None:
    """Import every public module of the catalog, so that adding a loss is adding a file."""
    for module in sorted(pkgutil.walk_packages(path, f"{package}."), key=lambda m: m.name):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)
