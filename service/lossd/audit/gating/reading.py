"""Gate files as plain values."""

import tomllib
from typing import Any, Literal

from lossd.errors import BadOption, UnreadableBody, Unsupported

MOST_LETTERS = 100_000
_MOST_DOTS = 250  # of a line: what reads TOML holds every prefix of a dotted key
Kind = Literal["toml", "yaml"]


def values_of(text: str, kind: Kind) -> dict[str, Any]:
    """What a file says. Raises `UnreadableBody` where it is no such file, `Unsupported`."""
    if len(text) > MOST_LETTERS:
        raise UnreadableBody(f"a gate file has {MOST_LETTERS} letters at most", at="gates")
    if kind not in ("toml", "yaml"):
        raise BadOption("no such kind of file", at="kind", expected="toml, yaml", got=str(kind))
    try:
        found = _toml(text) if kind == "toml" else _yaml(text)
    except ValueError as err:  # TOML's own error is one, and so is a number of too many digits
        raise UnreadableBody(f"not TOML: {err}"[:300], at="gates") from err
    except RecursionError as err:
        raise UnreadableBody("nested too deeply", at="gates") from err
    if not isinstance(found, dict):
        raise UnreadableBody("a gate file is a table of gates", at="gates")
    return found


def _toml(text: str) -> dict[str, Any]:
    for i, line in enumerate(text.splitlines()):
        if line.count(".") > _MOST_DOTS:
            raise UnreadableBody(f"line {i + 1} has more than {_MOST_DOTS} dots", at="gates")
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as err:
        detail = "gates in YAML need PyYAML: pip install 'lossd[audit]'; or write them in TOML"
        raise Unsupported(detail, at="gates") from err

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML ships no types
        """Plain values; a key once, and nothing by reference, which may grow without end."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError("references (*name) are not read")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key in (self.construct_object(key, deep=True) for key, _ in node.value):
                if not isinstance(key, str):
                    raise yaml.YAMLError(f"a key is no text: {str(key)[:100]!r}")
                if key in seen:
                    raise yaml.YAMLError(f"a key comes twice: {key[:100]!r}")
                seen.add(key)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # a safe one
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as err:
        raise UnreadableBody(f"not YAML: {err}"[:300], at="gates") from err
