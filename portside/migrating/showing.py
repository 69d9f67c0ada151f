"""A migration's plan and its outcome as lines for people. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from backends.storage.room import show_size
from portside.migrating.planning import MigrationPlan, State, TagPlan
from portside.migrating.running import Outcome


def plan_lines(plan: MigrationPlan) -> Iterator[str]:
    """Yields what a migration would make, a repository after the other, and the sum of it."""
    for name, tags in groupby(plan.tags, key=lambda each: each.tag.name.text):
        yield name
        rows = [_row(plan, each) for each in _grouped(tags)]
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
            yield "  " + "  ".join([*cells, row[-1]]).rstrip()
    yield from not_found(plan)
    yield summary(plan)


def summary(plan: MigrationPlan) -> str:
    """Returns the sum of a plan, in one line."""
    counts = [(state, len(plan.of(state))) for state in State]
    words = ", ".join(f"{count} {state.value}" for state, count in counts if count) or "v1 has no tags"
    if not plan.of(State.TO_DO):
        return words
    free = plan.free
    room = "that are linked, not copied" if free is None else f"to copy to v2's root, where {show_size(free)} are free"
    layers = plan.layers(State.TO_DO)
    return f"{words}; {counted(len(layers), 'layer')} of {show_size(sum(layers.values()))} {room}"


def outcome_line(outcome: Outcome) -> str:
    """Returns what became of a tag that was to be migrated."""
    tag, place = outcome.plan.tag, outcome.plan.place
    if outcome.digest is None:
        return f"{tag.name}:{tag.text} is not migrated: {outcome.why}"
    return f"{tag.name}:{tag.text} is {place}@{outcome.digest} in v2"


def not_migrated(plan: MigrationPlan) -> Iterator[str]:
    """Yields a sentence for each tag that stays as it is."""
    plans = [each for each in plan.tags if each.state in {State.SKIPPED, State.IMPOSSIBLE}]
    for name, tags in groupby(plans, key=lambda each: each.tag.name.text):
        for group in _grouped(tags):
            first = group[0]
            what = f"{name}:{first.tag.text} is" if len(group) == 1 else f"{len(group)} tags of {name} are"
            yield f"{what} {first.state.value}: {first.why}"


def counted(count: int, noun: str) -> str:
    """Returns how many there are of what a noun names."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _grouped(tags: Iterable[TagPlan]) -> Sequence[Sequence[TagPlan]]:
    """Puts together those tags of a repository that stay as they are for the same reason."""
    groups: dict[tuple[State, str, str], list[TagPlan]] = {}
    for each in tags:
        groups.setdefault((each.state, each.why, "" if each.why else each.tag.text), []).append(each)
    return list(groups.values())


def _row(plan: MigrationPlan, group: Sequence[TagPlan]) -> tuple[str, str, str]:
    each = group[0]
    if each.why:
        tags = each.tag.text if len(group) == 1 else f"{len(group)} tags"
        return tags, each.state.value, each.why
    to = "" if each.place is None or _keeps_its_name(each) else f"as {each.place}"
    if each.state is State.TO_DO:
        to = f"{counted(len(each.images), 'image')}, {show_size(plan.size(each))}{', ' if to else ''}{to}"
    return each.tag.text, each.state.value, to


def _keeps_its_name(each: TagPlan) -> bool:
    return each.place is not None and each.place.name == each.tag.name.v2 and each.place.tag == each.tag.text


def not_found(plan: MigrationPlan) -> Iterator[str]:
    """Yields a sentence for each name of the operator's map that v1 does not have: it may be misspelt."""
    for name in plan.unused:
        yield f"{name} is in the map, and v1 has nothing of that name"
