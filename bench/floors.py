"""What is measured, what Portside must reach and what it aims at (PERFORMANCE section 2). PURE.

Separate processes have floors for CPU alone; everything else is asked of the one-process form.
"""

from __future__ import annotations

from bench.judging import Better, Bound, Metric, Row

REFERENCE = "n+d2"
DISTRIBUTION = "d3"
STATIC = "static"
PEERS = (REFERENCE, DISTRIBUTION, STATIC)
"""Whom Portside is compared with."""
PORTSIDE = "portside"
ROLES = "roles"
BEFORE = "before"
BEFORE_ROLES = "before roles"
EARLIER = {PORTSIDE: BEFORE, ROLES: BEFORE_ROLES}
"""Each form, and the same form of an earlier build that is measured beside it (`--before`)."""

NO_WORSE = 1.05
"""Against an earlier build: what is meant for some requests must not make others dearer."""


def _small(name: str, title: str, near_static: tuple[float, float] = (1.25, 0.9)) -> Row:
    cpu = (
        Bound(PORTSIDE, REFERENCE, 1 / 8, 1 / 18),
        Bound(PORTSIDE, STATIC, *near_static),
        Bound(ROLES, REFERENCE, 1 / 3, 1 / 5),
        Bound(ROLES, STATIC, 6, 4),
    )
    return Row(
        f"small.{name}",
        title,
        (
            Metric(f"small.{name}.cpu", f"{title}: CPU", "s/10k", Better.LESS, cpu),
            Metric(f"small.{name}.rps", f"{title}: rate", "1/s", Better.MORE, (Bound(PORTSIDE, REFERENCE, 8, 18),)),
            Metric(f"small.{name}.faults", f"{title}: page faults", "each", Better.LESS, (_absolute(0.1, 0.1),)),
        ),
    )


def _varied(name: str, title: str, *more: Bound) -> Row:
    cpu = (*more, Bound(PORTSIDE, DISTRIBUTION, 1, 0.5), Bound(PORTSIDE, BEFORE, NO_WORSE))
    return Row(f"varied.{name}", title, (Metric(f"varied.{name}.cpu", f"{title}: CPU", "s/10k", Better.LESS, cpu),))


def _moved(name: str, title: str, cpu: tuple[Bound, ...], rate: tuple[Bound, ...] = ()) -> Row:
    return Row(
        name,
        title,
        (
            Metric(f"{name}.cpu", f"{title}: CPU", "s/GB", Better.LESS, cpu),
            Metric(f"{name}.rate", f"{title}: rate", "MB/s", Better.MORE, rate),
            Metric(f"{name}.faults", f"{title}: page faults", "/MiB", Better.LESS, (_absolute(2, 2),)),
        ),
    )


def _absolute(floor: float, aim: float) -> Bound:
    return Bound(PORTSIDE, None, floor, aim)


def _page(name: str, title: str, bounds: tuple[Bound, ...]) -> Metric:
    return Metric(f"listings.{name}", f"page {title}", "ms", Better.LESS, bounds)


_PLACES = (("start", "start"), ("middle", "middle"), ("end", "end"))
_FOUND = ("some", "all", "none")
_TAGS = (Bound(PORTSIDE, REFERENCE, 1 / 8, 1 / 18),)
_CATALOG = {  # distribution walks from the beginning to the page, so its first page is as good as a page can be
    "start": (Bound(PORTSIDE, REFERENCE, 1, 1 / 2),),
    "middle": (Bound(PORTSIDE, REFERENCE, 1 / 4, 1 / 8),),
    "end": (Bound(PORTSIDE, REFERENCE, 1 / 8, 1 / 18),),
}
_ROLES_PULL = Bound(ROLES, STATIC, 1.1, 0.85)
_PULL_ONE = (Bound(PORTSIDE, REFERENCE, 1 / 2), Bound(PORTSIDE, STATIC, 0.8, 0.7), _ROLES_PULL)
_PULL_EIGHT = (Bound(PORTSIDE, REFERENCE, 1 / 2), Bound(PORTSIDE, STATIC, 0.75, 0.65), _ROLES_PULL)
_ROLES_PUSH = Bound(ROLES, DISTRIBUTION, 1.1)
_PUSH_ONE = (Bound(PORTSIDE, REFERENCE, 1 / 2), Bound(PORTSIDE, DISTRIBUTION, 0.9, 0.75), _ROLES_PUSH)
_PUSH_EIGHT = (Bound(PORTSIDE, REFERENCE, 1 / 2), Bound(PORTSIDE, DISTRIBUTION, 0.95, 0.8), _ROLES_PUSH)
_PUSH_RATE = (Bound(PORTSIDE, DISTRIBUTION, 1),)
_CONVERTED = _absolute(1.15, 1.05)
_FAR = (Bound(PORTSIDE, REFERENCE, 1 / 8, 1 / 18), Bound(ROLES, REFERENCE, 1 / 3, 1 / 5))
GROWN = 1.25
"""Many against few: what does not grow differs by noise alone."""

ROWS = (
    _small("base", "GET /v2/"),
    _small("tag", "GET manifest by tag"),
    _small("digest", "GET manifest by digest"),
    _small("head", "HEAD blob"),
    _small("blob", "GET blob of 4 KiB", (2, 1.25)),
    _varied("tags", "manifest by many tags", *_FAR, Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
    _varied("agents", "manifest, many User-Agents", *_FAR, Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
    _varied("tokens", "manifest, many tokens"),
    _varied("new", "manifest by new tags", *_FAR, Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
    _varied("new-blob", "HEAD of new blobs", *_FAR, Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
    _moved("pull.one", "pull one large blob", _PULL_ONE),
    _moved("pull.eight", "pull by 8 clients", _PULL_EIGHT),
    Row(
        "pull.twenty",
        "pull of one image by 20 clients",
        (
            Metric(
                "pull.twenty.cpu",
                "pull of an image by 20 clients: CPU",
                "ms",
                Better.LESS,
                (
                    Bound(PORTSIDE, REFERENCE, 1 / 2),
                    Bound(PORTSIDE, DISTRIBUTION, 1, 0.8),
                    Bound(PORTSIDE, STATIC, 1.1, 0.9),
                    Bound(ROLES, DISTRIBUTION, 1.25, 1),
                ),
            ),
            Metric("pull.twenty.rate", "pulls of an image", "1/s", Better.MORE),
        ),
    ),
    _moved("push.one", "push one large blob", _PUSH_ONE),
    _moved("push.eight", "push by 8 clients", _PUSH_EIGHT, _PUSH_RATE),
    _moved("push.one-length", "push one large blob, Content-Length", _PUSH_ONE),
    _moved("push.eight-length", "push by 8 clients, Content-Length", _PUSH_EIGHT, _PUSH_RATE),
    _moved("push.real", "push of real layers by 8 clients", _PUSH_EIGHT, _PUSH_RATE),
    _moved("push.real-put", "push of real layers, one PUT each", _PUSH_EIGHT, _PUSH_RATE),
    Row(
        "connect",
        "a new TLS connection, GET /v2/, and its end",
        (
            Metric(
                "connect.cpu",
                "new connection and GET /v2/: CPU",
                "s/10k",
                Better.LESS,
                (Bound(PORTSIDE, DISTRIBUTION, 1, 0.9),),
            ),
            Metric("connect.rate", "new connections", "1/s", Better.MORE),
        ),
    ),
    Row(
        "connect-one",
        "the same, with one worker each",
        (
            Metric(
                "connect-one.cpu",
                "new connection, one worker: CPU",
                "s/10k",
                Better.LESS,
                (Bound(PORTSIDE, DISTRIBUTION, 1, 0.9),),
            ),
        ),
    ),
    Row(
        "latency",
        "manifest by tag, 500 a second",
        (
            Metric("latency.p50", "manifest at 500/s: p50", "ms", Better.LESS),
            Metric(
                "latency.p99",
                "manifest at 500/s: p99",
                "ms",
                Better.LESS,
                (Bound(PORTSIDE, REFERENCE, 1 / 3, 1 / 10), Bound(PORTSIDE, STATIC, 2.5, 1.5)),
            ),
        ),
    ),
    Row(
        "slow",
        "small requests while 8 clients push to a slow disk",
        (
            Metric("slow.p99", "manifest at 500/s, slow disk: p99", "ms", Better.LESS, (_absolute(10, 5),)),
            Metric("slow.pauses", "pauses, slow disk: p99.9", "ms", Better.LESS, (_absolute(5, 2.5),)),
            Metric("slow.quiet", "the same, nobody pushes: p99.9", "ms", Better.LESS),
            Metric("slow.rate", "push by 8 clients, slow disk", "MB/s", Better.MORE),
        ),
    ),
    Row(
        "start",
        "cold start",
        (Metric("start.ms", "cold start to first answer", "ms", Better.LESS, (_absolute(350, 300),)),),
    ),
    Row(
        "memory",
        "memory",
        (
            Metric("memory.idle", "idle, largest process (RSS)", "MB", Better.LESS, (_absolute(65, 55),)),
            Metric("memory.worker", "idle, largest worker (PSS)", "MB", Better.LESS, (_absolute(40, 40),)),
            Metric("memory.all", "idle, all processes (PSS)", "MB", Better.LESS),
            Metric("memory.growth", "32 clients move much: growth of all", "MB", Better.LESS),
            Metric("memory.most", "the same: of the worker that grows most", "MB", Better.LESS, (_absolute(64, 16),)),
        ),
    ),
    Row(
        "growth",
        "cost with many against few",
        tuple(
            Metric(f"growth.{name}", f"many/few: {title}", "ratio", Better.LESS, (_absolute(GROWN, GROWN),))
            for name, title in (
                ("tag", "manifest by tag"),
                ("head", "HEAD blob"),
                ("blob", "blob of 4 KiB"),
                ("upload", "start an upload, cancel it"),
                ("push", "push of a blob of some bytes"),
                ("list", "10 names of the tags"),
                ("catalog", "10 names of the catalog"),
                ("referrers", "10 referrers of a manifest"),
                ("refer", "push of one more of these"),
                ("told", "push of a manifest, events waiting"),
                ("converted", "manifest of a converted image"),
                ("converted_layer", "HEAD of its layer"),
                ("search", "v1 search that finds 10"),
                ("v1_tag", "tag of a v1 repository, by v1"),
                ("v1_list", "10 names of its tags, by v2"),
                ("v1_image", "JSON of a v1 image"),
                ("v1_push", "push of one more v1 image"),
            )
        ),
    ),
    Row(
        "told",
        "a push of which an endpoint is told, against one without",
        (
            Metric(
                "told.image",
                "told/untold: an image with a layer of 1 MiB",
                "ratio",
                Better.LESS,
                (_absolute(1.1, 1.05),),
            ),
            Metric("told.blob", "told/untold: a blob of some bytes", "ratio", Better.LESS),
            Metric("told.manifest", "told/untold: a manifest", "ratio", Better.LESS),
        ),
    ),
    Row(
        "auth.requests",
        "with an htpasswd file, logged in, against the same without",
        tuple(
            Metric(f"auth.requests.{name}", f"htpasswd/open: {title}", "ratio", Better.LESS, (_absolute(1.2, 1.1),))
            for name, title in (
                ("base", "GET /v2/"),
                ("tag", "manifest by tag"),
                ("head", "HEAD blob"),
                ("pull", "pull one large blob"),
                ("push", "push one large blob"),
            )
        ),
    ),
    Row(
        "auth.flood",
        "200 wrong passwords a second from the same address, against none",
        (
            Metric("auth.flood.pull", "guessed at/quiet: CPU of a pull", "ratio", Better.LESS, (_absolute(1.2, 1.1),)),
            Metric("auth.flood.p99", "guessed at/quiet: manifest, p99", "ratio", Better.LESS, (_absolute(3, 1.5),)),
            Metric("auth.flood.many", "the same from 32 addresses: p99", "ratio", Better.LESS, (_absolute(3, 1.5),)),
        ),
    ),
    Row(
        "v1.push",
        "push of chains of small layers by the v1 protocol",
        (
            Metric(
                "v1.push.cpu",
                "v1 push of small layers: CPU an image",
                "ms",
                Better.LESS,
                (Bound(PORTSIDE, BEFORE, NO_WORSE), Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
            ),
        ),
    ),
    Row(
        "v1.pull",
        "pull of chains of small layers by the v1 protocol",
        (
            Metric(
                "v1.pull.cpu",
                "v1 pull of 8 small layers: CPU",
                "ms",
                Better.LESS,
                (Bound(PORTSIDE, BEFORE, NO_WORSE), Bound(ROLES, BEFORE_ROLES, NO_WORSE)),
            ),
            Metric("v1.pull.layer", "v1 layer/v2 blob: CPU of bytes", "ratio", Better.LESS, (_absolute(1.15, 1.05),)),
        ),
    ),
    Row(
        "convert.first",
        "a v1 image asked for as schema 2 for the first time",
        (
            Metric("convert.first.ratio", "v1 made schema 2 / bare loop: CPU", "ratio", Better.LESS, (_CONVERTED,)),
            Metric("convert.first.cpu", "v1 made schema 2: CPU", "s/GB", Better.LESS),
        ),
    ),
    Row(
        "convert.again",
        "what was converted before, against the same pushed",
        (
            Metric("convert.again.pull", "converted/native: a pull", "ratio", Better.LESS, (_absolute(1.1, 1.05),)),
            *(
                Metric(f"convert.again.{name}", f"converted/native: {title}", "ratio", Better.LESS)
                for name, title in (
                    ("tag", "manifest by tag"),
                    ("digest", "manifest by digest"),
                    ("head", "HEAD blob"),
                    ("config", "configuration"),
                    ("layer", "layer"),
                )
            ),
        ),
    ),
    Row(
        "convert.push",
        "what a v1 push costs more, since its layers are metered",
        (
            Metric("convert.push.cpu", "v1 push: CPU of metering", "s/GB", Better.LESS, (_absolute(7, 6.2),)),
            Metric("convert.push.whole", "v1 push, metered: CPU", "s/GB", Better.LESS),
            Metric("convert.push.plain", "v1 push, not metered: CPU", "s/GB", Better.LESS),
        ),
    ),
    Row(
        "convert.gzip",
        "zstd made gzip for a client that cannot unpack it",
        (
            Metric("convert.gzip.ratio", "zstd to gzip / bare loop: CPU", "ratio", Better.LESS, (_CONVERTED,)),
            Metric("convert.gzip.cpu", "zstd to gzip: CPU, by the tar", "s/GB", Better.LESS),
        ),
    ),
    Row(
        "listings",
        "a page of 100 of a long listing",
        (
            *(_page(f"tags_{place}", f"of tags, {where}", _TAGS) for place, where in _PLACES),
            _page("tags_pushed", "of tags, after a push", _TAGS),
            *(_page(f"catalog_{place}", f"of the catalog, {where}", _CATALOG[place]) for place, where in _PLACES),
            *(_page(f"referrers_{place}", f"of referrers, {where}", (_absolute(20, 5),)) for place, where in _PLACES),
            *(_page(f"search_{which}", f"of a search that finds {which}", (_absolute(50, 5),)) for which in _FOUND),
        ),
    ),
)


def rows_named(wanted: tuple[str, ...]) -> tuple[Row, ...]:
    """Returns the rows in whose name or title one of `wanted` occurs (`small`, `pull.one`, `HEAD`); all for none.

    Raises:
        ValueError: one of them names no row.
    """
    for name in wanted:
        if not any(_fits(row, name) for row in ROWS):
            raise ValueError(f"there is no row {name}; there are {', '.join(row.name for row in ROWS)}")
    return tuple(row for row in ROWS if not wanted or any(_fits(row, name) for name in wanted))


def _fits(row: Row, name: str) -> bool:
    return name in row.name or name in row.title
