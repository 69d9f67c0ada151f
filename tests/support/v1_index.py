"""What the v1 index does beside images: sign up, prove who one is, search (WIRE section 6)."""

from __future__ import annotations

import json

from tests.support.profiles import Profile
from tests.support.v1_calls import CommandError, Login, V1Calls, compact
from tests.support.wire import Call, HttpClient


def sign_up(http: HttpClient, profile: Profile, base: str, login: Login) -> str:
    """``docker login`` against v1: POST (up to 1.10), then GET with Basic where that was refused.

    Returns:
        What docker prints.

    Raises:
        CommandError: Wrong password, or an answer that is none.
    """
    url = f"{base}/v1/users/"
    if profile.sign_up_agent:
        account = {"username": login.user, "password": login.password, "auth": "", "email": login.email}
        fields = [("Content-Type", "application/json; charset=utf-8")]
        response = http.send(Call("POST", url, profile.sign_up_agent, fields, compact(account)))
        text = response.body.decode(errors="replace")
        if response.status == 201:
            return "Account created."
        known = response.status == 400 and "Username or email already exists" in text
        if not (known or response.status == 401):
            raise CommandError(f"Unexpected status code [{response.status}] : {text}")
    response = http.send(Call("GET", url, profile.agent, [("Authorization", login.basic)]))
    if response.status == 401:
        raise CommandError("Wrong login/password, please try again")
    if response.status != 200:
        raise CommandError(f"Unexpected status code {response.status}")
    return "Login Succeeded"


def search(calls: V1Calls, term: str) -> list[str]:
    """The names found.

    Raises:
        CommandError: The answer is not 200.
    """
    fields = {"X-Docker-Token": "true"} if calls.profile.search_token else {}
    url = f"{calls.base}/v1/search?q={term}{calls.profile.search_query}"
    response = calls.send("GET", url, calls.search_authorization(), fields)
    if response.status != 200:
        raise CommandError(f"Unexpected status code {response.status}")
    return [result["name"] for result in json.loads(response.body)["results"]]
