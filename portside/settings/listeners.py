"""Which part listens where, with what TLS, by role: from the parsed file to listeners.

- `serve` and `proxy`: `http.addr` and `http.tls` describe the address that clients use, so they are the proxy's,
  unless `gateway:` names its own; without either it is `[::]:5000` with TLS from `gateway.certs`.
- `v1` and `v2`: `http:` to the letter, as distribution has it; `gateway.v1.addr` and `.unix` go before `http.addr`.
- Where TLS is configured it is never left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from portside.server.listening import Listener, TcpAddress, UnixAddress, parse_address
from portside.settings.remarks import Kind, Remark
from portside.settings.schema.config import Config
from portside.settings.schema.gateway import Backend, GatewayTls
from portside.tls.contexts import CertificateChain, TlsProfile, TlsSettings, TlsVersion

PROXY = "[::]:5000"
V1 = "127.0.0.1:5081"
V2 = "127.0.0.1:5082"
METRICS = "127.0.0.1:5083"


@dataclass(slots=True)
class Ports:
    """What a role listens on.

    Attributes:
        listeners: all of them, in the order in which the log names them.
        certificates: the folder where certificates are made if there are none; None when the user named their own.
        metrics_path: where the metrics are on the listener called `metrics`; "" for nowhere.
        mistakes: a sentence each.
        notes: what is to be said of them.
    """

    listeners: list[Listener] = field(default_factory=list)
    certificates: Path | None = None
    metrics_path: str = ""
    mistakes: list[str] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)


def proxy_ports(config: Config, *, with_registries: bool) -> Ports:
    """Returns what the proxy listens on, and the registries beside it if they are in the same process."""
    gateway = config.gateway
    ports = Ports()
    tls, ports.certificates = _proxy_tls(config)
    addr = gateway.addr or config.http.addr or PROXY
    if tls is None:
        text = f"{addr} speaks plain HTTP, since http.addr is set and http.tls is not"
        ports.notes.append(Remark(Kind.DANGEROUS, "http.addr", text))
    _add(ports, config, "proxy", addr, tls)
    _tell_of_profile(ports, addr, tls, "gateway.tls.profile" if _is_set(gateway.tls) else "http.tls.profile")
    _add(ports, config, "proxy", gateway.plain.addr, None)
    _add_legacy(ports, config, tls)
    _add(ports, config, "proxy", gateway.unix and f"unix:{gateway.unix}", None)
    if not with_registries and not (gateway.v1.upstream or gateway.v2.upstream):
        ports.mistakes.append(
            "gateway.v1.upstream, gateway.v2.upstream: a proxy needs a registry behind it;"
            " name one or both, or use serve"
        )
    for name, backend, default in (("v1", gateway.v1, V1), ("v2", gateway.v2, V2)):
        if with_registries and not backend.upstream:
            _add(
                ports,
                config,
                name,
                default if backend.addr is None else backend.addr,
                None,
                asked=backend.addr is not None,
            )
            _add(ports, config, name, backend.unix and f"unix:{backend.unix}", None)
    _add_metrics(ports, config, METRICS if with_registries else "")
    return _checked(ports)


def registry_ports(config: Config, name: str, backend: Backend, *, default: str) -> Ports:
    """Returns what a registry on its own listens on."""
    ports = Ports()
    addr = backend.addr if backend.addr is not None else config.http.addr
    if backend.addr is None and not addr and not backend.unix:
        addr = default
    tls = _http_tls(config)
    _add(ports, config, name, addr, tls)
    _tell_of_profile(ports, addr, tls, "http.tls.profile")
    _add(ports, config, name, backend.unix and f"unix:{backend.unix}", None)
    if not ports.listeners:
        ports.mistakes.append(f"gateway.{name}.addr, gateway.{name}.unix: the registry needs one of them")
    _add_metrics(ports, config, "")
    return _checked(ports)


def _add(
    ports: Ports,
    config: Config,
    name: str,
    addr: str,
    tls: TlsSettings | None,
    *,
    asked: bool = True,
    for_old_clients: bool = False,
) -> None:
    if not addr:
        return
    address = parse_address(addr)
    unix = isinstance(address, UnixAddress)
    ports.listeners.append(
        Listener(
            name,
            address,
            None if unix else tls,
            for_old_clients=for_old_clients,
            trusted_peer=unix,
            trusted_networks=config.gateway.trustedproxies,
            optional=not asked,
        )
    )


def _add_legacy(ports: Ports, config: Config, tls: TlsSettings | None) -> None:
    """Adds the address for clients that speak no TLS 1.2; the others keep what they have."""
    addr = config.gateway.legacytls.addr
    if not addr:
        return
    if tls is None:
        ports.mistakes.append(
            "gateway.legacytls.addr: the proxy has no certificate, since http.addr is set and http.tls is not;"
            " name one with http.tls, or have one made with gateway.certs"
        )
    elif isinstance(parse_address(addr), UnixAddress):
        ports.mistakes.append("gateway.legacytls.addr: nobody speaks TLS on a unix socket; write it like :5443")
    else:
        legacy = replace(tls, minimum=TlsVersion.TLS_1_0, ciphers=(), profile=TlsProfile.LEGACY)
        _add(ports, config, "proxy", addr, legacy, for_old_clients=True)
        ports.notes.append(_legacy_note("gateway.legacytls.addr", addr))


def _is_set(tls: GatewayTls) -> bool:
    return "profile" in tls.model_fields_set


def _tell_of_profile(ports: Ports, addr: str, tls: TlsSettings | None, key: str) -> None:
    if tls is not None and tls.profile is TlsProfile.LEGACY and addr and not addr.startswith("unix:"):
        ports.notes.append(_legacy_note(key, addr))


def _legacy_note(key: str, addr: str) -> Remark:
    text = (
        f"{key}: {addr} has the legacy profile of TLS: TLS 1.0 and 1.1, CBC, RSA key exchange and SHA-1, which whoever"
        " is on the way can attack; let only old clients reach it (docs/old-tls.md)"
    )
    return Remark(Kind.DANGEROUS, key, text)


def _add_metrics(ports: Ports, config: Config, default: str) -> None:
    addr, asked = config.gateway.metrics.addr, True
    if addr is not None:
        ports.metrics_path = "/metrics"
    elif config.http.debug.addr:
        addr = config.http.debug.addr
        if not _is_loopback(parse_address(addr)):
            text = (
                f"http.debug.addr {addr} can be reached from other machines, and nobody must log in there:"
                " whoever may read figures and health is yours to decide, or write localhost:5001"
            )
            ports.notes.append(Remark(Kind.DANGEROUS, "http.debug.addr", text))
        prometheus = config.http.debug.prometheus
        ports.metrics_path = prometheus.path if prometheus.enabled else ""
    else:
        addr, ports.metrics_path, asked = default, "/metrics", False
    if not addr:
        ports.metrics_path = ""
    _add(ports, config, "metrics", addr, None, asked=asked)


def _is_loopback(address: TcpAddress | UnixAddress) -> bool:
    if isinstance(address, UnixAddress):
        return True
    return address.host in {"localhost", "::1"} or address.host.startswith("127.")


def _checked(ports: Ports) -> Ports:
    seen: set[object] = set()
    for listener in ports.listeners:
        address = listener.address
        if address in seen:
            shown = f"{address.host}:{address.port}" if isinstance(address, TcpAddress) else f"unix:{address.path}"
            ports.mistakes.append(f"{shown} is given to two listeners, {listener.name} the second; choose another")
        if isinstance(address, UnixAddress) or address.port:
            seen.add(address)
    return ports


def _http_tls(config: Config) -> TlsSettings | None:
    tls = config.http.tls
    if not tls.certificate:
        return None
    return _tls(config, (CertificateChain(Path(tls.certificate), Path(tls.key)),), ours=False)


def _proxy_tls(config: Config) -> tuple[TlsSettings | None, Path | None]:
    """Returns TLS of the proxy (None for plain HTTP), and the folder where its certificates are to be made."""
    gateway, http = config.gateway, config.http
    said = gateway.model_fields_set
    if gateway.tls.certificates:
        chains = tuple(CertificateChain(Path(pair.certificate), Path(pair.key)) for pair in gateway.tls.certificates)
        return _tls(config, chains, ours=True), None
    if http.tls.certificate and "certs" not in said:
        return _tls(config, (CertificateChain(Path(http.tls.certificate), Path(http.tls.key)),), ours=True), None
    if http.addr and not said & {"addr", "certs", "names", "tls"}:
        return None, None
    folder = Path(gateway.certs)
    return _tls(config, (CertificateChain(folder / "server.crt", folder / "server.key"),), ours=True), folder


def _tls(config: Config, chains: tuple[CertificateChain, ...], *, ours: bool) -> TlsSettings:
    """Each key is `gateway.tls`'s where it is named there (for the proxy), otherwise `http.tls`'s."""

    def section(key: str) -> Any:
        own = config.gateway.tls
        return own if ours and key in own.model_fields_set else config.http.tls

    def of(key: str) -> Any:
        return getattr(section(key), key)

    minimum = of("minimumtls")
    if of("profile") is TlsProfile.LEGACY and "minimumtls" not in section("minimumtls").model_fields_set:
        minimum = TlsVersion.TLS_1_0
    return TlsSettings(
        chains=chains,
        minimum=minimum,
        ciphers=of("ciphersuites"),
        client_cas=tuple(map(Path, of("clientcas"))),
        client_auth=of("clientauth"),
        profile=of("profile"),
    )
