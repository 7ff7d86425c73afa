"""Every metric, by its name: a file each, found by being there."""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from lossd.audit.metrics._spec import Finding as Finding
from lossd.audit.metrics._spec import Metric as Metric
from lossd.audit.metrics._spec import Pieces as Pieces
from lossd.audit.metrics._spec import Whole as Whole
from lossd.audit.setup import Setup
from lossd.errors import BadOption


def _discover() -> Mapping[str, Metric]:
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            metric: Metric = importlib.import_module(f"{__name__}.{module.name}").METRIC
            if metric.name != module.name:
                raise RuntimeError(f"{module.name}: a metric has the name of its file")
            found[metric.name] = metric
    return MappingProxyType(found)


METRICS = _discover()
_ALWAYS = "rows"  # else rows that are left out would go unsaid


def metrics_of(setup: Setup) -> tuple[Metric, ...]:
    """Those that are asked for and `rows`, or the default ones. Raises `BadOption`."""
    if setup.metrics is None:
        return tuple(each for each in METRICS.values() if each.default)
    for name in setup.metrics:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
            raise BadOption(
                f"no metric is named {name[:100]!r}",
                at="metrics",
                expected=near[0] if near else ", ".join(METRICS),
                got=name[:100],
            )
    return tuple(METRICS[name] for name in sorted({*setup.metrics, _ALWAYS}))
