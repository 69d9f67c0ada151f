"""A migration's plan for machines: docs/moving.md describes it, and it only ever grows. PURE."""

from __future__ import annotations

import json
from typing import Any

from backends.model.names import canonical_name
from portside.migrating.planning import MigrationPlan, State, TagPlan

_STATES = {
    State.TO_DO: "planned",
    State.DONE: "migrated",
    State.SKIPPED: "skipped",
    State.IMPOSSIBLE: "impossible",
}


def plan_as_json(plan: MigrationPlan) -> str:
    """Returns it as one JSON object."""
    layers = plan.layers(State.TO_DO)
    document = {
        "tags": [_tag(plan, each) for each in plan.tags],
        "layers": len(layers),
        "size": sum(layers.values()),
        "free": plan.free,
        "notFound": list(plan.unused),
    }
    return json.dumps(document, indent=2)


def _tag(plan: MigrationPlan, each: TagPlan) -> dict[str, Any]:
    return {
        "name": canonical_name(each.tag.name.text),
        "tag": each.tag.text,
        "id": each.tag.image_id,
        "state": _STATES[each.state],
        "to": None if each.place is None else {"name": each.place.name, "tag": each.place.tag},
        "images": len(each.images) or None,
        "size": plan.size(each) if each.images else None,
        "why": each.why or None,
    }
