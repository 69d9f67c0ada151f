"""What a conversion would give; nothing is stored for that."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.conversion.derived import Record
from backends.model.conversion.plans import Form, Plan
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.model.targets import Target
from backends.registry.derived.engine import derive
from backends.registry.derived.images import Progress, Wish
from backends.registry.derived.originals import Originals
from backends.registry.derived.records import Records
from backends.registry.known_impossible import KnownImpossible


@dataclass(frozen=True, slots=True)
class Preview:
    """What a conversion would give.

    Attributes:
        digest: of the manifest.
        record: what is said of it.
        is_pushed: whether it was only chosen from an index.
        is_made: whether it is there: it was pushed, or made before.
    """

    digest: Digest
    record: Record
    is_pushed: bool
    is_made: bool


async def preview(
    records: Records,
    originals: Originals,
    impossible: KnownImpossible,
    name: RepositoryName,
    target: Target,
    plan: Plan,
    *,
    tag: str,
) -> Preview:
    """Returns what a conversion would give; see `Conversions.preview`."""
    named = tag if plan.form is Form.SCHEMA1 else ""
    before = await records.planned(name, target, plan.key(named))
    if before is not None:
        found = await records.find(name, before, source=target)
        if found is not None:
            return Preview(before, found[1], is_pushed=False, is_made=True)
    derivation = await derive(originals, target, Wish(name, plan, named, Progress()), impossible)
    if derivation.chosen is not None:
        return Preview(*derivation.chosen, is_pushed=True, is_made=True)
    made = derivation.made[-1]
    is_made = await records.find(name, made.digest, source=target) is not None
    return Preview(made.digest, made.record, is_pushed=False, is_made=is_made)
