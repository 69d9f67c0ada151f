"""Whatever goes wrong is answered in the protocol's own shape, and neither answer nor log tells too much."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from aiohttp import web

from backends.http.configured_headers import ConfiguredHeaders
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.events import NoRoomToTell
from backends.storage.driver import (
    InvalidPath,
    PathNotFound,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from backends.storage.locks import LockHeld
from backends.v1.errors import render as render_v1
from backends.v2.errors import render as render_v2
from backends.web.errors import Handler, render_errors
from portside.observe.requests import observed
from tests.support.serving_here import Answer, serving_here

PATH = "/docker/registry/v2/repositories/secret/place"
TARGET = "/v2/team/app/manifests/latest?_state=secret-state&token=secret-token"
NO_HEADERS = ConfiguredHeaders({})
RENDER = {"v1": render_v1, "v2": render_v2}

ERRORS: list[tuple[Exception, int, str]] = [
    (RegistryError(ErrorCode.BLOB_UNKNOWN, "team/app has no such blob"), 404, "BLOB_UNKNOWN"),
    (RegistryError(ErrorCode.UNSUPPORTED, "no", headers={"Allow": "GET"}), 405, "UNSUPPORTED"),
    (StorageFull(f"no room to write {PATH}"), 507, "INSUFFICIENT_STORAGE"),
    (NoRoomToTell(f"no room to write {PATH}"), 507, "INSUFFICIENT_STORAGE"),
    (StorageReadOnly(f"{PATH} cannot be written"), 503, "UNAVAILABLE"),
    (InvalidPath(PATH, "a name in it is too long"), 400, "NAME_INVALID"),
    (PathNotFound(PATH), 503, "UNAVAILABLE"),
    (StorageBusy(f"{PATH}: too many open files"), 503, "UNAVAILABLE"),
    (LockHeld("secret lock"), 503, "UNAVAILABLE"),
    (StorageError(f"{PATH}: input/output error"), 500, "UNKNOWN"),
    (ValueError("secret value"), 500, "UNKNOWN"),
    (TimeoutError("secret wait"), 500, "UNKNOWN"),
]


def subclasses(of: type[Exception]) -> Iterator[type[Exception]]:
    yield of
    for each in of.__subclasses__():
        yield from subclasses(each)


async def ask(handler: Handler) -> Answer:
    async with serving_here(handler) as client:
        return await client.ask("GET", TARGET)


def raising(error: Exception) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        raise error

    return handler


def test_every_error_of_storage_is_in_the_table() -> None:
    assert {type(error) for error, _, _ in ERRORS} >= set(subclasses(StorageError))


@pytest.mark.parametrize(
    ("error", "status", "code"), ERRORS, ids=lambda value: getattr(value, "__class__", value).__name__
)
@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_each_protocol_tells_it_in_its_shape(protocol: str, error: Exception, status: int, code: str) -> None:
    answer = await ask(render_errors(raising(error), RENDER[protocol]))
    assert answer.status == status
    if protocol == "v2":
        assert answer.json["errors"][0]["code"] == code
        sentence = answer.json["errors"][0]["detail"]["reason"]
    else:
        assert set(answer.json) == {"error"}
        sentence = answer.json["error"]
    assert sentence
    assert "secret" not in json.dumps(answer.json)
    if isinstance(error, RegistryError):
        for name, value in error.headers.items():
            assert answer[name] == value


@pytest.mark.parametrize("error", [error for error, _, _ in ERRORS if not isinstance(error, RegistryError)], ids=repr)
async def test_the_log_names_the_path_and_no_secret_of_the_query(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    fails = raising(error)
    for handler in (
        render_errors(fails, render_v2),
        observed(fails, "v2", access=None, metrics=None, headers=NO_HEADERS),
    ):
        caplog.clear()
        await ask(handler)
        (record,) = caplog.records
        assert record.levelno >= logging.WARNING
        text = logging.Formatter().format(record)
        assert "secret-state" not in text
        assert "secret-token" not in text
        if record.exc_info:
            assert "/v2/team/app/manifests/latest failed" in text


async def test_what_breaks_off_in_the_middle_is_logged_without_the_query(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10
        await response.prepare(request)
        await response.write(b"x")
        raise StorageError("the file ended early")

    for each in (
        render_errors(handler, render_v2),
        observed(handler, "v2", access=None, metrics=None, headers=NO_HEADERS),
    ):
        caplog.clear()
        with pytest.raises((ConnectionError, EOFError)):
            await ask(each)
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert any("/v2/team/app/manifests/latest" in text for text in told)
        assert not any("secret" in text for text in told)
