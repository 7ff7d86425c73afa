"""The losses of sentence-transformers, without the models that importing the package brings."""

import importlib
import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any

SBERT = "sentence-transformers 6.2.0"


def _folder(name: str, path: str) -> ModuleType:
    """A package of the files in a folder, without what its own __init__ imports."""
    made = ModuleType(name)
    made.__path__ = [path]
    sys.modules[name] = made
    return made


def _stand_in(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    for key, x in names.items():
        setattr(made, key, x)
    sys.modules[name] = made
    return made


def _load() -> dict[str, Any]:
    root = importlib.util.find_spec("sentence_transformers")
    assert root is not None and root.submodule_search_locations
    path = root.submodule_search_locations[0]
    before = dict(sys.modules)
    _stand_in("transformers")
    _stand_in("transformers.utils", is_torchdynamo_compiling=lambda: False, logging=_Logging)
    _folder("sentence_transformers", path)
    _folder("sentence_transformers.base", f"{path}/base")
    _folder("sentence_transformers.base.losses", f"{path}/base/losses")
    util = _folder("sentence_transformers.util", f"{path}/util")
    found = importlib.import_module("sentence_transformers.util.similarity")
    for name, x in vars(found).items():
        setattr(util, name, x)
    sys.modules["sentence_transformers"].util = util  # type: ignore[attr-defined] # made above
    one = _folder("sentence_transformers.sentence_transformer", f"{path}/sentence_transformer")
    one.SentenceTransformer = object  # type: ignore[attr-defined] # made above
    _stand_in("sentence_transformers.sentence_transformer.model", SentenceTransformer=object)
    _stand_in("sentence_transformers.base.losses.merged_forward", embed_columns=None)
    losses = _folder(f"{one.__name__}.losses", f"{path}/sentence_transformer/losses")
    names: dict[str, Any] = {}
    for file in (
        "batch_hard_triplet",
        "batch_semi_hard_triplet",
        "cosent",
        "angle",
        "global_orthogonal_regularization",
    ):
        module = importlib.import_module(f"{losses.__name__}.{file}")
        mine = {key: x for key, x in vars(module).items() if key.endswith("Loss")}
        names |= mine
        for key, x in mine.items():
            setattr(losses, key, x)
    for name in set(sys.modules) - set(before):
        if name.partition(".")[0] in ("transformers", "sentence_transformers"):
            del sys.modules[name]
    return names


class _Logging:
    @staticmethod
    def get_logger(name: str) -> Any:
        return logging.getLogger(name)


LOSSES = _load()
