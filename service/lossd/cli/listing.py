"""`lossd losses` and `lossd settings`: what there is to compute and to set."""

import argparse
import json
import sys
from typing import Any

from pydantic import ValidationError

from lossd.schema.describe import describe, list_losses
from lossd.settings import Settings


def add_losses_command(commands: Any) -> None:
    """Add `losses` to the parser."""
    command = commands.add_parser("losses", help="list the losses, or describe one")
    command.add_argument("loss", nargs="?", help="describe this one")
    command.add_argument("--family", help="only this family")
    command.add_argument("--search", help="words that must all occur")
    command.add_argument("--kind", help="only losses with an input so named, e.g. logits")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.set_defaults(run=run_losses)


def run_losses(arguments: argparse.Namespace) -> int:
    """Print the catalog, or one loss of it."""
    if arguments.loss:
        one = describe(arguments.loss, "http://127.0.0.1:8000")
        print(json.dumps(one, indent=2) if arguments.format == "json" else _text(one))
        return 0
    found = list_losses(family=arguments.family, search=arguments.search, kind=arguments.kind)
    if arguments.format == "json":
        print(json.dumps({"losses": found}, indent=2))
        return 0
    for each in found:
        print(f"{each['name']:34} {each['family']:16} {each['summary']}")
    return 0


def _text(one: dict[str, Any]) -> str:
    lines = [f"{one['name']} ({one['family']}), in {one['units']}", "", one["description"], ""]
    lines += [f"formula    {one['formula']}", f"source     {one['source']}", "", "inputs"]
    for name, each in one["inputs"].items():
        marks = ["gradient"] if each["gradient"] else []
        marks += ["optional"] if each["optional"] else []
        shape = f"{each['kind']} ({', '.join(each['dims'])})"
        lines.append(f"  {name:24} {shape:36} {', '.join(marks):20} {each['doc']}")
    lines += ["", "params"]
    for name, each in one["params_schema"]["properties"].items():
        lines.append(f"  {name:24} {each['default']!s:12} {each['description']}")
    lines += ["", *(f"{key:20} {value}" for key, value in one["card"].items())]
    return "\n".join([*lines, "", one["example"]["curl"]])


def add_settings_command(commands: Any) -> None:
    """Add `settings` to the parser."""
    command = commands.add_parser("settings", help="list every setting: value, default, meaning")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.set_defaults(run=run_settings)


def run_settings(arguments: argparse.Namespace) -> int:
    """Print every setting as it would be used now."""
    try:
        settings = Settings()
    except ValidationError as err:
        for each in err.errors():
            print(f"lossd: LOSSD_{str(each['loc'][0]).upper()}: {each['msg']}", file=sys.stderr)
        return 2
    rows = [
        {
            "name": f"LOSSD_{name.upper()}",
            "value": getattr(settings, name),
            "default": each.default,
            "meaning": each.description,
        }
        for name, each in Settings.model_fields.items()
    ]
    if arguments.format == "json":
        print(json.dumps({"settings": rows}, indent=2, default=str))
        return 0
    for row in rows:
        print(f"{row['name']:24} {row['value']!s:12} {row['meaning']} Default: {row['default']}.")
    return 0
