"""What few files have below `http:`: `http2`, `h2c`, `tls.letsencrypt`."""

from __future__ import annotations

from portside.settings.schema.section import Section


class Http2(Section):
    disabled: bool = False


class PlainHttp2(Section):
    """`h2c`: HTTP/2 without TLS."""

    enabled: bool = False


class LetsEncrypt(Section):
    """`cachefile` is a file up to 2.8 and a folder from 3.0 on."""

    cachefile: str = ""
    email: str = ""
    hosts: tuple[str, ...] = ()
    directoryurl: str = ""
