"""`lossd eval`: a loss of files, in process or on a service."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossd.cli.files import load
from lossd.cli.remote import client, post
from lossd.cli.whole_file import whole_file
from lossd.engine import compute, pick_device
from lossd.errors import UnreadableBody
from lossd.schema import parse_call, to_message
from lossd.wire import CODECS, Message

_JSON = CODECS["application/json"]
_BINARY = CODECS["application/vnd.safetensors"]
_NO_LIMIT = 1 << 62


def add_command(commands: Any) -> None:
    """Add `eval` to the parser."""
    command = commands.add_parser(
        "eval",
        help="compute a loss of files",
        description="Inputs: .npy, .npz, .safetensors, .json, .csv. `--input name=file`; "
        "`--input name=file:key` takes one tensor of a file that holds several. A table of any "
        "size is `--inputs table.parquet` (or .arrow, .feather; needs the extra arrow): columns by "
        "the names of the inputs are read; the rows, and with --gradients those of the sum, go to "
        "the table --out beside the other columns.",
    )
    command.add_argument("loss")
    command.add_argument("--input", action="append", default=[], metavar="NAME=FILE", type=_pair)
    command.add_argument("--inputs", metavar="TABLE", type=Path, help="a table with the inputs")
    command.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", type=_pair)
    command.add_argument("--reduction", choices=("mean", "sum", "none"))
    command.add_argument("--rows", action="store_true", help="answer every row's loss too")
    command.add_argument("--gradients", action="store_true", help="answer the gradients too")
    command.add_argument("--state", action="store_true", help="answer the loss's new state too")
    command.add_argument(
        "--proximal", nargs="?", const=1.0, type=float, metavar="STEP",
        help="answer the penalty's proximal operator too, of this step (1)",
    )  # fmt: skip
    command.add_argument(
        "--mining", metavar="JSON", type=json.loads,
        help='count the hardest items only: \'{"method": "ohem", "keep_fraction": 0.25}\'',
    )  # fmt: skip
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.add_argument("--out", type=Path, help="write the answer here: safetensors, or a table")
    command.add_argument("--url", help="compute on this service instead of in process")
    command.add_argument("--format", choices=("text", "json"), default="text")
    command.set_defaults(run=run, mistake=command.error)


def run(arguments: argparse.Namespace) -> int:
    """Compute and print. Raises `LossdError` for data or a service that cannot be used."""
    request = _request(arguments)
    answer = (_table if arguments.inputs else _files)(arguments, request)
    if arguments.format == "json":
        sys.stdout.write(_JSON.encode(answer).decode() + "\n")
    else:
        print(_text(answer))
    return 0


def _files(arguments: argparse.Namespace, request: Message) -> Message:
    if arguments.url:
        answer = _remote(arguments.url, arguments.loss, request)
    else:
        call = parse_call(arguments.loss, request)
        device = pick_device(os.environ.get("LOSSD_DEVICE", "auto"))
        answer = to_message(call, compute(call, device))
    if arguments.out:
        with whole_file(arguments.out) as part:
            part.write_bytes(_BINARY.encode(answer))
    return answer


def _table(arguments: argparse.Namespace, request: Message) -> Message:
    if arguments.rows:
        arguments.mistake("--rows goes with --input; the rows of a table are written to --out")
    if arguments.state or arguments.proximal is not None or arguments.mining is not None:
        arguments.mistake("--state, --proximal and --mining are of a whole call, so of --input")
    if arguments.gradients and not arguments.out:
        arguments.mistake("the --gradients of a table are written to --out, which is not given")
    try:
        from lossd.cli.evaluate_table import evaluate_table
    except ModuleNotFoundError as err:
        detail = "tables need pyarrow: pip install 'lossd[arrow]'"
        raise UnreadableBody(detail, at=str(arguments.inputs)) from err
    return evaluate_table(
        arguments.loss, arguments.inputs, arguments.out, _typed(request), arguments.url
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


def _request(arguments: argparse.Namespace) -> Message:
    tensors: dict[str, Tensor] = {}
    untyped: set[str] = set()
    for name, source in arguments.input:
        found, bare = _read(name, source)
        tensors |= found
        if bare:
            untyped |= found.keys()
    outputs = ["value", *(["rows"] if arguments.rows else [])]
    outputs += ["gradients"] if arguments.gradients else []
    outputs += ["state"] if arguments.state else []
    outputs += ["proximal"] if arguments.proximal is not None else []
    fields: dict[str, Any] = {
        "params": {name: _value(text) for name, text in arguments.param},
        "outputs": outputs,
        "dtype": arguments.dtype,
    }
    if arguments.reduction:
        fields["reduction"] = arguments.reduction
    if arguments.mining is not None:
        fields["mining"] = arguments.mining
        outputs.append("kept_indices")
    if arguments.proximal is not None:
        fields["proximal_step"] = arguments.proximal
    return Message(tensors, fields, frozenset(untyped))


def _read(name: str, source: str) -> tuple[dict[str, Tensor], bool]:
    """`file`, or `file:key`; a file of several tensors without a key is a group."""
    path, key = Path(source), ""
    if not path.exists() and ":" in source:
        before, _, key = source.rpartition(":")
        path = Path(before)
    found, untyped = load(path)
    if not key:
        group = len(found) > 1
        return {f"{name}/{each}" if group else name: x for each, x in found.items()}, untyped
    if key not in found:
        raise UnreadableBody(
            "no such tensor in the file", at=source, expected=", ".join(found), got=key
        )
    return {name: found[key]}, untyped


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _remote(url: str, loss: str, request: Message) -> Message:
    body = _BINARY.encode(_typed(request))
    with client(url) as http:
        content = post(http, f"/v1/losses/{loss}", body, _BINARY.media_type)
    return _BINARY.decode(content, _NO_LIMIT)


def _typed(request: Message) -> Message:
    """The same call; numbers without a dtype get the one that they would have in process."""
    dtype = getattr(torch, request.fields["dtype"])
    tensors = {
        name: x.to(dtype) if name in request.untyped and x.is_floating_point() else x
        for name, x in request.tensors.items()
    }
    return Message(tensors, request.fields)


def _text(answer: Message) -> str:
    tensors = answer.all_tensors
    lines = [f"loss         {answer.fields['loss']}"]
    for name in ("value", "sum", "denominator", "count"):
        if name in tensors:
            lines.append(f"{name:12} {tensors[name].item():.10g}")
        else:
            lines.append(f"{name:12} null")
    if "rows" in tensors and tensors["rows"].ndim:
        lines += [f"rows[{i}]  {x}" for i, x in enumerate(tensors["rows"].tolist())]
    if "kept_indices" in tensors:
        lines.append(f"kept         {len(tensors['kept_indices'])}")
    for name, x in tensors.items():
        if name.startswith(("gradients.", "state.", "proximal.")):
            norm = torch.linalg.vector_norm(x.double()).item()
            lines.append(f"{name:24} shape {list(x.shape)}, norm {norm:.6g}")
    lines += [f"params       {json.dumps(answer.fields['params'])}"]
    lines += [
        f"warning      {each['code']}: {each['detail']}" for each in answer.fields["warnings"]
    ]
    return "\n".join(lines)
