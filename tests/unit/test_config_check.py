"""`portside config check`: what becomes of each line and each variable, and whether it would start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portside.cli import main
from portside.settings.checking import Line, check
from portside.settings.loading import Role
from portside.settings.remarks import Kind
from tests.support.certificate import make_certificate

FILE = """\
version: 0.1
x-where: &where
  addr: :5000
http:
  <<: *where
  host: https://registry.example
  draintimeout: 30
log: {level: debug, fields: {a: b}}
log: {level: warn}
loglevel: info
storage:
  filesystem:
    rootdirectory: /data
  cache:
    layerinfo: inmemory
  delete:
    enabled: 'true'
reporting:
  newrelic: {name: x}
htttp: {addr: ':1'}
catalog:
  maxentries:
validation:
  manifests: {urls: {allow: [a, b]}}
log.level: debug
"""


def verdicts(lines: tuple[Line, ...]) -> list[tuple[int, str, Kind]]:
    return [(each.line, each.variable or each.key, each.verdict) for each in lines]


def look(
    folder: Path, text: str, environment: Mapping[str, str] | None = None, role: Role = Role.V2
) -> tuple[bool, tuple[Line, ...]]:
    path = folder / "config.yml"
    path.write_text(text)
    report = check(role, path, environment or {})
    return report.starts, report.lines


def test_each_line_has_its_verdict(tmp_path: Path) -> None:
    environment = {
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/env",
        "REGISTRY_HTTP_RELATIVEURLS": "true",
        "REGISTRY_PORT": "tcp://10.0.0.1:5000",
        "REGISTRY_HEALTH_FILE": "[]",
        "PATH": "/bin",
    }
    starts, lines = look(tmp_path, FILE, environment)
    assert starts
    assert verdicts(lines) == [
        (1, "version", Kind.USED),
        (2, "x-where", Kind.IGNORED),
        (3, "http.addr", Kind.USED),
        (6, "http.host", Kind.USED),
        (7, "http.draintimeout", Kind.DANGEROUS),
        (8, "log.fields.a", Kind.USED),
        (9, "log.level", Kind.USED),
        (9, "", Kind.DANGEROUS),
        (9, "", Kind.DANGEROUS),
        (10, "loglevel", Kind.IGNORED),
        (13, "storage.filesystem.rootdirectory", Kind.OVERRIDDEN),
        (15, "storage.cache.layerinfo", Kind.RENAMED),
        (17, "storage.delete.enabled", Kind.DANGEROUS),
        (18, "reporting", Kind.IGNORED),
        (20, "htttp", Kind.IGNORED),
        (22, "catalog.maxentries", Kind.IGNORED),
        (24, "validation.manifests.urls.allow", Kind.USED),
        (25, "'log.level'", Kind.IGNORED),
        (0, "REGISTRY_HEALTH_FILE", Kind.IGNORED),
        (0, "REGISTRY_HTTP_RELATIVEURLS", Kind.USED),
        (0, "REGISTRY_PORT", Kind.IGNORED),
        (0, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", Kind.USED),
    ]


REFUSED = [
    ("http:\n  clientcas: [ca]\n", {}, 2, "http.clientcas"),
    ("http:\n  headers:\n    X-A: b\n", {}, 3, "http.headers.X-A"),
    ("notifications:\n  endpoints:\n    - name: a\n      timeout: soon\n", {}, 4, "notifications.endpoints.0.timeout"),
    ("auth:\n  htpasswd:\n    realm: r\n  silly:\n", {}, 1, "auth"),
    ("auth:\n  htpaswd:\n    realm: r\n", {}, 2, "auth.htpaswd"),
    ("auth:\n  htpasswd:\n    realm: r\n", {}, 0, "auth.htpasswd.path"),
    ("storage:\n  filesystem:\n  s3:\n    bucket: b\n", {}, 3, "storage.s3"),
    ("http:\n  tls:\n    certificate: /nosuch/c\n    key: /nosuch/k\n", {}, 2, "http.tls"),
    ("htp:\n  clientcas: [a]\nauht: {}\n", {}, 3, "auht"),
    ("catalog: {maxentries: 5}\n", {"REGISTRY_CATALOG_MAXENTRIES": "x"}, 0, "REGISTRY_CATALOG_MAXENTRIES"),
    ("catalog: {maxentries: 5}\n", {"REGISTRY_CATALOG": "{maxentries: x}"}, 0, "REGISTRY_CATALOG"),
    ("version: 0.1\n", {"REGISTRY_HTTP_HOST": "a: ["}, 0, "REGISTRY_HTTP_HOST"),
    ("version: 0.1\n", {"REGISTRY_HTTP_TLS_CLIENTCA": "x"}, 0, "REGISTRY_HTTP_TLS_CLIENTCA"),
    ("gateway: {v2: {addr: ''}}\n", {}, 1, "gateway.v2.addr"),
]


@pytest.mark.parametrize(("text", "environment", "line", "name"), REFUSED)
def test_what_is_refused_stands_at_its_line_and_the_status_is_1(
    tmp_path: Path, text: str, environment: dict[str, str], line: int, name: str
) -> None:
    starts, lines = look(tmp_path, text, environment)
    assert not starts
    refused = [each for each in lines if each.verdict is Kind.REFUSED]
    assert [(each.line, each.variable or each.key) for each in refused] == [(line, name)]


def test_what_listens_without_tls_or_for_all_is_dangerous_at_its_line(tmp_path: Path) -> None:
    starts, lines = look(tmp_path, "http:\n  addr: :5000\n  debug:\n    addr: :5001\n", role=Role.SERVE)
    assert starts
    assert verdicts(lines) == [(2, "http.addr", Kind.DANGEROUS), (4, "http.debug.addr", Kind.DANGEROUS)]


def test_what_is_in_a_section_that_is_refused_is_not_said_to_be_used(tmp_path: Path) -> None:
    starts, lines = look(tmp_path, "auth:\n  htpasswd:\n    realm: r\n    path: /p\n  silly: {}\n")
    assert not starts
    assert verdicts(lines) == [(1, "auth", Kind.REFUSED)]


def test_unknown_keys_are_named_although_others_are_mistakes(tmp_path: Path) -> None:
    _, lines = look(tmp_path, "adr: 1\ncatalog: {maxentries: x}\nloglevel: debug\n")
    assert verdicts(lines) == [
        (1, "adr", Kind.IGNORED),
        (2, "catalog.maxentries", Kind.REFUSED),
        (3, "loglevel", Kind.RENAMED),
    ]


def test_a_certificate_that_is_missing_is_named_once_with_what_to_do(tmp_path: Path) -> None:
    pairs = "[{certificate: /none/a.crt, key: /none/a.key}, {certificate: /none/b.crt, key: /none/b.key}]"
    text = f"gateway: {{legacytls: {{addr: ':5443'}}, tls: {{certificates: {pairs}}}}}\n"
    starts, lines = look(tmp_path, text, role=Role.SERVE)
    assert not starts
    (said,) = (each.text for each in lines if each.verdict is Kind.REFUSED)
    assert "the certificate /none/a.crt does not exist; put it there" in said


def test_folders_of_files_that_are_handed_over_are_looked_for_as_at_a_start(tmp_path: Path) -> None:
    text = "http: {addr: ':5000'}\ngateway:\n" + "".join(
        f"  {name}:\n    upstream: http://{name}\n    files: {tmp_path}/{name}\n" for name in ("v1", "v2")
    )
    starts, lines = look(tmp_path, text, role=Role.PROXY)
    refused = [each for each in lines if each.verdict is Kind.REFUSED]
    assert not starts
    assert [(each.line, each.key) for each in refused] == [(5, "gateway.v1.files"), (8, "gateway.v2.files")]
    assert all("is not a folder that the proxy sees; mount the registry's data there" in each.text for each in refused)
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    assert look(tmp_path, text, role=Role.PROXY)[0]


def test_certificates_are_read_as_at_a_start(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    text = f"http: {{tls: {{certificate: {certificate.chain}, key: {certificate.key}}}}}\n"
    assert look(tmp_path, text)[0]
    assert not look(tmp_path, text.replace(str(certificate.key), str(certificate.chain)))[0]


def test_what_is_open_to_others_or_broken_is_dangerous(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    starts, lines = look(
        tmp_path,
        "http:\n  addr: :5000\n  debug: {addr: ':5001'}\n  tls:\n    minimumtls: tls1.0\n"
        f"    certificate: {certificate.chain}\n    key: {certificate.key}\n",
    )
    assert starts
    assert [each[:2] for each in verdicts(lines) if each[2] is Kind.DANGEROUS] == [
        (3, "http.debug.addr"),
        (5, "http.tls.minimumtls"),
    ]


def run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    empty = dict.fromkeys(("REGISTRY_CONFIGURATION_PATH",), "")
    return CliRunner().invoke(main, ["config", "check", *arguments], env={**empty, **(environment or {})})


def test_the_table_says_where_and_why(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("version: 0.1\nhttp:\n  addr: :5000\n  secret: hunter2\nloglevel: debug\n")
    shown = run(str(path), "--role", "v2", environment={"REGISTRY_LOG_FORMATTER": "json"})
    assert shown.exit_code == 0
    why = "is not needed: what is known about an upload is in storage, for every worker"
    assert shown.output.splitlines() == [
        f"{path}:",
        "    1  version                 used",
        "    3  http.addr               used",
        f"    4  http.secret             ignored      {why}",
        "    5  loglevel                renamed      is deprecated: write log.level",
        "the environment:",
        "       REGISTRY_LOG_FORMATTER  used         log.formatter",
        "`portside v2` would start with these settings",
    ]


def test_machines_get_the_same_as_json(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("http: {clientcas: [hunter2]}\n")
    shown = run(str(path), "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.output) == {
        "file": str(path),
        "role": "serve",
        "starts": False,
        "lines": [
            {
                "line": 1,
                "variable": None,
                "key": "http.clientcas",
                "verdict": "refused",
                "message": "http.clientcas: it belongs below http.tls; here it would be ignored, and everyone would be"
                " let in",
            }
        ],
    }


@pytest.mark.parametrize("text", [None, "a: [\n", "- a\n"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config.yml"
    if text is not None:
        path.write_text(text)
    shown = run(str(path))
    assert shown.exit_code == 1
    assert shown.output.count("\n") == 2
    assert json.loads(run(str(path), "--json").output)["starts"] is False


def test_without_a_file_the_environment_is_checked() -> None:
    shown = run(environment={"REGISTRY_AUTH": "htpasswd", "REGISTRY_HTTP_ADDR": ":1"})
    assert shown.exit_code == 1
    assert "REGISTRY_AUTH       refused" in shown.output


def test_the_file_that_the_environment_names_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("loglevel: debug\n")
    assert "renamed" in run(environment={"REGISTRY_CONFIGURATION_PATH": str(path)}).output


def test_no_value_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "http: {secret: hunter2, headers: {Authorization: [hunter2]}}\nredis: {addr: r, password: hunter2}\n"
        "proxy: {password: hunter2}\nnotifications: {endpoints: [{headers: {A: [hunter2]}}]}\n"
        "log: {hooks: [{options: {smtp: {password: hunter2}}}], fields: {a: hunter2}}\n"
    )
    for arguments in ((), ("--json",)):
        assert "hunter2" not in run(str(path), *arguments).output
