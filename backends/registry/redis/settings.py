"""How Redis is reached (`redis`): what both spellings of distribution's section say, of 2.x and of 3.x."""

from __future__ import annotations

from dataclasses import dataclass, field

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 0.25
"""Reading from storage instead costs less than a second, so nobody waits longer than that unless it is configured."""

CONNECTIONS = 10
IDLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RedisTls:
    """TLS to Redis.

    Attributes:
        certificate, key: PEM files of a client certificate; "" for none.
        root_cas: PEM files that the server's certificate is checked against; none: the system's.
    """

    certificate: str = ""
    key: str = ""
    root_cas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """How Redis is reached.

    Attributes:
        addresses: `host:port`, or the path of a socket. Of several, they are Sentinels where there is a `master_name`,
            else nodes of a cluster.
        username, password: "" for none.
        database: its number.
        master_name: what the Sentinels call the server.
        sentinel_username, sentinel_password: for the Sentinels.
        client_name: what the connections are called in Redis's lists.
        protocol: of Redis, 2 or 3.
        identifies: whether a connection says which library speaks.
        connect_seconds: to connect and log in.
        read_seconds, write_seconds: for a command.
        connections: how many at most, in each process; with none free, Redis is not asked.
        idle_connections: how many stay open while nothing is asked.
        idle_seconds: for how long; 0 for ever.
        lifetime_seconds: how old a connection may become; 0 for any age.
        tls: None for plain TCP.
    """

    addresses: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    master_name: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    client_name: str = ""
    protocol: int = 2
    identifies: bool = True
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = ANSWER_SECONDS
    write_seconds: float = ANSWER_SECONDS
    connections: int = CONNECTIONS
    idle_connections: int = CONNECTIONS
    idle_seconds: float = IDLE_SECONDS
    lifetime_seconds: float = 0.0
    tls: RedisTls | None = None

    @property
    def where(self) -> str:
        """The addresses, for a sentence."""
        return ", ".join(self.addresses)
