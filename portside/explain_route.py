"""`portside route`: says what the proxy would decide about a request, and why."""

from __future__ import annotations

from typing import Any

from backends.model.clients import parse_user_agent
from proxy.routing import API_VERSION, Policy, Refusal, decide
from proxy.settings import Rule


def explain(agent: str, method: str, target: str, *, rule: str, prefix: str = "") -> dict[str, Any]:
    """Returns facts by their names, in the order of reading; None where there is nothing to say.

    Args:
        agent: the User-Agent; "" for none.
        method: GET, PUT, …
        target: the path, with its query.
        rule: `portside` or `literal`.
        prefix: `http.prefix`, as the settings keep it.
    """
    client = parse_user_agent(agent)
    decision = decide(client, method, target, Policy(Rule(rule), v2_root=f"{prefix}/v2/"))
    note = None
    if decision.only_while_v2_answers:
        note = "while the v2 registry does not answer this push gets 503, so that it cannot land in the wrong one"
    elif decision.drop_authorization:
        note = "its Authorization is not passed on, as in the guide"
    return {
        "client": client.text,
        "generation": client.generation.value,
        "request": f"{method} {target}",
        "goes to": decision.backend.value if decision.backend is not None else "proxy",
        "why": decision.reason,
        "answer": _answer(decision.refusal),
        "note": note,
    }


def _answer(refusal: Refusal | None) -> str | None:
    if refusal is None:
        return None
    has_version = any(name == API_VERSION[0] for name, _ in refusal.headers)
    return f"{refusal.status} {refusal.body.strip()!r}, {'with' if has_version else 'without'} {API_VERSION[0]}"
