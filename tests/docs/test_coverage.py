"""The table of what a catalog should hold says the truth about this one."""

from docs._coverage import OPTIONS, read

from lossd.losses import CATALOG

MOST_THAT_WAIT = 0.05


def test_every_loss_that_is_named_exists() -> None:
    found = read()
    named = {member.loss for member in found.members if member.loss is not None}
    assert named - CATALOG.keys() <= found.waiting
    assert found.waiting <= named, "what is being written is of some row"


def test_every_member_is_one_thing_and_every_row_is_there_once() -> None:
    found = read()
    for member in found.members:
        said = (member.loss, member.option, member.schedule, member.objective,
                member.waits)  # fmt: skip
        assert sum(x is not None for x in said) == 1, member
    ids = [row.id for row in found.rows]
    tiers = {
        tier: [int(each[3:]) for each in ids if each.startswith(tier)]
        for tier in ("T0", "T1", "T2")
    }
    assert tiers == {"T0": [*range(1, 23)], "T1": [*range(1, 29)], "T2": [*range(1, 26)]}
    assert all(row.members and row.title for row in found.rows)


def test_options_that_are_named_are_options() -> None:
    found = read()
    named = {member.option.partition(":")[0] for member in found.members if member.option}
    assert named <= OPTIONS | {"mining"}


def test_all_but_a_few_members_are_there() -> None:
    found = read()
    print(f"rows {found.share_of_rows:.1%}, members {found.share_of_members:.1%}")
    assert found.share_of_members >= 1 - MOST_THAT_WAIT
    assert found.share_of_rows >= 1 - MOST_THAT_WAIT
