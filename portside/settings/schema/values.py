"""Values of the file that are more than text and numbers: durations, sizes, addresses, names of headers."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from portside.server.listening import parse_address
from portside.settings.durations import parse_duration
from portside.settings.sizes import parse_size
from portside.settings.yaml_values import plain
from portside.tls.names import parse_certificate_name

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def duration(value: object) -> float:
    """Returns seconds, not negative."""
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def drain_time(value: object) -> float:
    """Returns seconds; less than none is none, as in distribution."""
    return max(0.0, parse_duration(value))


def bounded_wait(value: object) -> float:
    """Returns seconds, more than none."""
    seconds = duration(value)
    if seconds <= 0:
        raise ValueError(
            "an unlimited wait would let a silent client stay connected for ever; write 60s, or hours if needed"
        )
    return seconds


def age(value: object) -> float:
    """Returns seconds, written with a unit: distribution takes no bare number here, which would be nanoseconds."""
    if isinstance(value, int) or (seconds := duration(value)) <= 0:
        raise ValueError("write it with a unit, like 168h or 90m, and more than 0")
    return seconds


def interval(value: object) -> float:
    """An age, or 0 for never."""
    return 0.0 if str(value) in {"0", "0s"} else age(value)


def _address(value: object) -> str:
    text = str(value)
    if text:
        parse_address(text)
    return text


def _socket_path(value: object) -> str:
    path = str(value or "").removeprefix("unix:")
    if path and not path.startswith("/"):
        raise ValueError("a unix socket is named by its path from the root, like /run/portside/v2.sock")
    return path


def header_name(value: object) -> object:
    """Returns a header's name; "" for false."""
    if plain(value) is False:
        return ""
    if isinstance(value, str) and not _TOKEN.fullmatch(value) and value:
        raise ValueError("a header's name has letters, digits and hyphens; false stands for none")
    return value


def network(value: object) -> object:
    """Returns a network; an address is one of a single host."""
    try:
        return ipaddress.ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError("a network is written like 10.0.0.0/8 or fd00::/8, an address like 192.0.2.7") from None


def _certificate_name(value: object) -> str:
    return parse_certificate_name(str(value))


def lower(value: object) -> object:
    """Returns text in lower case."""
    return value.lower() if isinstance(value, str) else value


def _header_value(value: object) -> object:
    text = "" if value is None else str(value)
    if not text.isprintable():
        raise ValueError("a header's value must be one line of printable characters")
    return text


def listed(value: object) -> object:
    """Returns a list, also of a single text."""
    return [value] if isinstance(value, str) else value


def several(value: object) -> object:
    """Returns a list of sections, also of a single one."""
    return [value] if isinstance(value, dict) else value


Duration = Annotated[float, BeforeValidator(duration)]
SignedDuration = Annotated[float, BeforeValidator(parse_duration)]
"""For keys where distribution gives a negative one a meaning."""
DrainTime = Annotated[float, BeforeValidator(drain_time)]
Age = Annotated[float, BeforeValidator(age)]
Interval = Annotated[float, BeforeValidator(interval)]
Size = Annotated[int, BeforeValidator(parse_size)]
BoundedWait = Annotated[float, BeforeValidator(bounded_wait)]
AddressText = Annotated[str, BeforeValidator(_address)]
SocketPath = Annotated[str, BeforeValidator(_socket_path)]
HeaderName = Annotated[str, BeforeValidator(header_name)]
HeaderValue = Annotated[str, BeforeValidator(_header_value)]
Threshold = Annotated[int, AfterValidator(lambda number: max(0, number))]
"""So many times in a row something must be found; less than none is none, as in distribution."""
Headers = dict[HeaderName, list[HeaderValue]]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(network)]
CertificateName = Annotated[str, BeforeValidator(_certificate_name)]
Level = Annotated[Literal["error", "warn", "info", "debug"], BeforeValidator(lower)]
