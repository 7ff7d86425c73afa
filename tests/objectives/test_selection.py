"""Rows by comparisons: what numpy says of the same expression, and every mistake has its place."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossd.errors import BadOption, BadRequest, LossdError, MissingInput
from lossd.objectives.selection import MOST_DEPTH, parse_selection

TENSORS = {
    "labels": torch.tensor([0, 1, 2, 3, 2, -1]),
    "score": torch.tensor([0.1, 0.5, 0.9, 1.5, float("inf"), -2.0]),
    "box/area": torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64),
    "mask": torch.tensor([True, False, True, False, True, True]),
    "half": torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], dtype=torch.bfloat16),
}
ARRAYS = {
    name: (x.float() if x.dtype == torch.bfloat16 else x).numpy() for name, x in TENSORS.items()
}


def rows(text: str) -> list[int]:
    found: list[int] = parse_selection(text, TENSORS).rows(TENSORS).tolist()
    return found


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("labels > 0", [1, 2, 3, 4]),
        ("labels>0 and labels<3", [1, 2, 4]),
        ("0 < labels < 3", [1, 2, 4]),
        ("not labels > 0", [0, 5]),
        ("labels in [0, 2]", [0, 2, 4]),
        ("labels not in [0, 2]", [1, 3, 5]),
        ("not (labels == 1 or mask == 1)", [3]),
        ("not labels == 1 or mask == 1", [0, 2, 3, 4, 5]),
        ("labels == 0 or labels == 1 and mask == 0", [0, 1]),
        ("`box/area` >= 5e0", [4, 5]),
        ("score == 0.1", [0]),  # in the tensor's own dtype
        ("score < 1e300", [0, 1, 2, 3, 5]),
        ("score > -1E+300", [0, 1, 2, 3, 4, 5]),
        ("labels < 1.5", [0, 1, 5]),
        ("labels == -1", [5]),
        ("half >= +2.5", [4, 5]),
        ("score < `box/area`", [0, 1, 2, 3, 5]),
        ("labels > 99999999999999999999999", []),
    ],
)
def test_it_chooses_rows(text: str, want: list[int]) -> None:
    assert rows(text) == want


numbers = st.integers(-4, 4) | st.sampled_from([0.5, 0.1, -1.5, 2.25])
names = st.sampled_from(["labels", "score", "`box/area`", "mask", "half"])
signs = st.sampled_from(["<", "<=", "==", "!=", ">=", ">"])
comparisons = st.one_of(
    st.tuples(names, signs, numbers),
    st.tuples(numbers, signs, names),
    st.tuples(names, signs, names),
    st.tuples(names, st.sampled_from(["in", "not in"]), st.lists(numbers, min_size=1, max_size=3)),
)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=8,
)


def written(tree: Any) -> str:
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    if tree[0] in ("and", "or"):
        return f"({written(tree[1])}) {tree[0]} ({written(tree[2])})"
    return " ".join(str(each) for each in tree)


def by_numpy(tree: Any) -> Any:
    if tree[0] == "not":
        return ~by_numpy(tree[1])
    if tree[0] in ("and", "or"):
        join = np.logical_and if tree[0] == "and" else np.logical_or
        return join(by_numpy(tree[1]), by_numpy(tree[2]))
    left, sign, right = tree
    a, b = (ARRAYS[x.strip("`")] if isinstance(x, str) else x for x in (left, right))
    if sign in ("in", "not in"):
        member = np.zeros(6, bool)
        for each in b:
            member |= a == each
        return member if sign == "in" else ~member
    return {"<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal,
            ">=": np.greater_equal, ">": np.greater}[sign](a, b)  # fmt: skip


@settings(deadline=None)
@given(tree=expressions)
def test_numpy_says_the_same(tree: Any) -> None:
    assert rows(written(tree)) == np.flatnonzero(by_numpy(tree)).tolist()


@pytest.mark.parametrize(
    ("text", "error", "position"),
    [
        ("", BadOption, 1),
        ("labels", BadOption, 7),
        ("labels >", BadOption, 9),
        ("labels > 0 and", BadOption, 15),
        ("labels = 1", BadOption, 7),
        ("labels > 0 labels", BadOption, 12),
        ("1 < 2", BadOption, 1),
        ("1 in [1]", BadOption, 1),
        ("labels in []", BadOption, 12),
        ("labels in [labels]", BadOption, 12),
        ("labels in [1 2]", BadOption, 14),
        ("labels in 1", BadOption, 11),
        ("(labels > 0", BadOption, 12),
        ("labels > 1e999", BadOption, 10),
        ("labels is nan", BadOption, 8),
        ("labels > nan", MissingInput, 10),
        ("labels + 1 > 0", BadOption, 7),
        ("labels.real > 0", BadOption, 7),
        ("labels > 0x10", BadOption, 9),
        ("other > 0", MissingInput, 1),
        ("labels > \u0663", BadOption, 9),
        ("(" * (MOST_DEPTH + 1) + "labels > 0", BadOption, MOST_DEPTH + 1),
    ],
)
def test_a_mistake_names_its_position(text: str, error: type[LossdError], position: int) -> None:
    with pytest.raises(error, match=f"at character {position}$"):
        rows(text)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("labels score()<>=!andotri[],.`019eE+- ", max_size=60))
def test_no_text_makes_a_bug(text: str) -> None:
    try:
        found = rows(text)
    except BadRequest as err:
        assert err.message
    else:
        assert all(0 <= each < 6 for each in found)


def test_it_is_bounded() -> None:
    with pytest.raises(BadOption, match="not an expression"):
        rows("labels > 0 or " * 100 + "labels > 0")
    assert parse_selection("labels in [1, 2, 3] or 0 < labels < 9", TENSORS).comparisons == 5


def test_integers_of_nineteen_digits_are_compared_as_such() -> None:
    tensors = {"big": torch.tensor([2**63 - 1, 2**63 - 2, 1])}
    chosen = parse_selection(f"big == {2**63 - 1}", tensors).rows(tensors)
    assert chosen.tolist() == [0]
    assert parse_selection(f"big < {10**19}", tensors).rows(tensors).tolist() == [0, 1, 2]
