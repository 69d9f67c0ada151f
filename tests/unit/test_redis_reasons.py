"""Why Redis cannot be talked to, in the system's words."""

from __future__ import annotations

import pytest
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backends.registry.redis.connections import explain


async def test_a_name_that_nobody_knows_is_told_without_the_library_s_numbers() -> None:
    connection = Connection(host="no-host.invalid", retry=Retry(NoBackoff(), 0))
    with pytest.raises(RedisError) as caught:
        await connection.connect()  # type: ignore[no-untyped-call]  # the library has no types here
    assert explain(caught.value).startswith("cannot connect: ")
    assert "Error" not in explain(caught.value)
