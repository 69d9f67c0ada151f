"""Which endpoints are told, how, and in which letter, by the keys that distribution's file has."""

from __future__ import annotations

import pytest

from backends.notify.settings import EndpointSettings, MediaType, NotifySettings
from portside.settings.loading import Role, SettingsProblem
from tests.support.settings_files import Load


def endpoints_of(load: Load, text: str, **more: dict[str, str]) -> NotifySettings:
    settings = load(Role.V2, f"version: 0.1\nstorage: {{filesystem: {{}}}}\nnotifications: {text}\n", **more)
    assert settings.notifications is not None
    return settings.notifications


def test_nothing_is_configured_by_nothing(load: Load) -> None:
    for text in ("", "notifications:", "notifications: {endpoints: []}", "notifications: {events: {}}"):
        settings = load(Role.V2, f"storage: {{filesystem: {{}}}}\n{text}\n")
        assert settings.notifications is None
        assert settings.notes == ()


def test_every_key_of_an_endpoint_means_something(load: Load) -> None:
    found = endpoints_of(
        load,
        """
  endpoints:
    - name: a
      url: https://me:password@hooks.example/x?y=1
      headers: {Authorization: [Bearer x], X-Many: [1, 2]}
      timeout: 1500ms
      threshold: 3
      backoff: 5s
      ignoredmediatypes: [application/x]
      ignore: {mediatypes: [application/y], actions: [pull, mount]}
    - {name: b, url: 'http://127.0.0.1:8080', timeout: -1s, threshold: 0, backoff: 0}
    - {name: c, url: 'http://127.0.0.1:8080', disabled: true}
  events: {includereferences: true}
""",
    )
    first, second = found.endpoints
    assert first == EndpointSettings(
        "a",
        "https://me:password@hooks.example/x?y=1",
        key=first.key,
        headers={"Authorization": ("Bearer x",), "X-Many": ("1", "2")},
        timeout_seconds=1.5,
        threshold=3,
        backoff_seconds=5.0,
        ignored_media_types=frozenset({"application/x", "application/y"}),
        ignored_actions=frozenset({"pull", "mount"}),
    )
    assert second == EndpointSettings("b", "http://127.0.0.1:8080", key=second.key)
    assert found.disabled == ("c",)
    assert found.references


def test_the_environment_has_endpoints_too(load: Load) -> None:
    variables = {
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_URL": "http://h.example/",
        "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES": "true",
        "REGISTRY_GATEWAY_NOTIFICATIONS_DISK": "1GiB",
    }
    settings = load(Role.V2, "storage: {filesystem: {}}\nnotifications: {endpoints: [{name: a}]}\n", variables)
    assert settings.notifications is not None
    assert [each.url for each in settings.notifications.endpoints] == ["http://h.example/"]
    assert settings.notifications.references
    assert settings.notifications.disk_bytes == 1024**3


def test_an_endpoint_is_called_by_a_name_on_one_line_or_by_its_address(load: Load) -> None:
    text = """
storage: {filesystem: {}}
notifications:
  endpoints:
    - {url: 'https://user:word@hooks.example/registry?token=x'}
    - {name: "two\\nlines", url: 'http://h/'}
    - {url: 'http://off/', disabled: true}
    - {url: 'http://[', disabled: true}
"""
    found = load(Role.V2, text).notifications
    assert found is not None
    assert [each.name for each in found.endpoints] == ["https://hooks.example/registry?***", "two?lines"]
    assert found.disabled == ("http://off/", "notifications.endpoints.3")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://h/",
        "h.example",
        "http://",
        "http://h:x/",
        "http://[::1",
        "https:///x",
        "http://h x/",
        "http://h:70000/",
        "http://[h]/",
    ],
)
def test_an_endpoint_without_a_valid_address_is_not_used_and_named(load: Load, url: str) -> None:
    text = f"storage: {{filesystem: {{}}}}\nnotifications: {{endpoints: [{{name: a, url: {url!r}}}]}}\n"
    settings = load(Role.V2, text)
    assert settings.notifications is not None
    assert settings.notifications.endpoints == ()
    assert any("notifications.endpoints.0 (a) is not used" in note for note in settings.notes)


def test_a_duration_without_a_unit_is_not_obeyed_to_the_letter(load: Load) -> None:
    """distribution's documentation shows `timeout: 500`, which is half a microsecond."""
    text = "{endpoints: [{name: a, url: 'http://h/', timeout: 500, backoff: 1000}]}"
    settings = load(Role.V2, f"storage: {{filesystem: {{}}}}\nnotifications: {text}\n")
    assert settings.notifications is not None
    (endpoint,) = settings.notifications.endpoints
    assert (endpoint.timeout_seconds, endpoint.backoff_seconds) == (1.0, 1.0)
    used = [note.partition(":")[0] for note in settings.notes if "1s is used" in note]
    assert used == ["notifications.endpoints.0.timeout", "notifications.endpoints.0.backoff"]


ENDPOINT = "notifications: {endpoints: [{name: a, url: 'http://h/'}]}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 0.1\nstorage: {filesystem: {}}\n", MediaType.V1),
        ("version: 0.1\nstorage: {filesystem: {}}\nredis: {addr: 'r:1'}\n", MediaType.V1),
        ("version: 0.1\nstorage: {filesystem: {}}\ncompatibility: {schema1: {enabled: true}}\n", MediaType.V1),
        ("version: 0.1\nstorage: {filesystem: {}}\nredis: {addrs: ['r:1']}\n", MediaType.V2),
        ("version: 0.1\nstorage: {filesystem: {}, tag: {concurrencylimit: 5}}\n", MediaType.V2),
        ("version: 0.1\nstorage: {filesystem: {}}\nlog: {reportcaller: true}\n", MediaType.V2),
        ("storage: {filesystem: {}}\n", MediaType.V2),
        ("storage: {filesystem: {}}\ngateway: {notifications: {envelope: v1}}\n", MediaType.V1),
        ("version: 0.1\nstorage: {filesystem: {}}\ngateway: {notifications: {envelope: V2}}\n", MediaType.V2),
    ],
)
def test_the_letter_is_that_of_the_release_for_which_the_file_was_written(
    load: Load, text: str, expected: MediaType
) -> None:
    settings = load(Role.V2, text + ENDPOINT)
    assert settings.notifications is not None
    assert settings.notifications.media_type is expected


@pytest.mark.parametrize(
    "text", ["{segment: 1KiB}", "{disk: 8MiB}", "{disk: 0}", "{segment: 1GiB, disk: 8GiB}", "{envelope: v3}"]
)
def test_bounds_that_make_no_sense_are_mistakes(load: Load, text: str) -> None:
    with pytest.raises(SettingsProblem, match=r"gateway\.notifications"):
        load(Role.V2, f"storage: {{filesystem: {{}}}}\ngateway: {{notifications: {text}}}\n")


def test_the_proxy_says_that_it_sends_none(load: Load) -> None:
    settings = load(Role.PROXY, f"gateway: {{v1: {{upstream: 'http://r'}}, v2: {{upstream: 'http://r'}}}}\n{ENDPOINT}")
    assert settings.notifications is None
    assert any(note.startswith("notifications: the proxy sends none") for note in settings.notes)


@pytest.mark.parametrize(
    ("addr", "port"), [("':5000'", ":5000"), ("'registry.example:443'", ":443"), ("'unix:/run/r.sock'", "")]
)
def test_events_name_this_machine_and_the_port(load: Load, addr: str, port: str) -> None:
    settings = load(Role.V2, f"version: 0.1\nstorage: {{filesystem: {{}}}}\nhttp: {{addr: {addr}}}\n{ENDPOINT}")
    assert settings.notifications is not None
    _, mark, rest = settings.notifications.source.partition(":")
    assert mark + rest == port
