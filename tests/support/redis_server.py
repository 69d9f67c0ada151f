"""A real redis-server of a test: plain, with a password or TLS, killed and brought back, stopped, in a cluster."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificate import CertificateFiles
from tests.support.ports import free_port
from tests.support.programs import find_program, wait_for_port


@dataclass(slots=True)
class RedisServer:
    """A redis-server on a loopback port.

    Attributes:
        folder: for its socket and log.
        arguments: of the program, beside those that every test wants.
        first: arguments that must be before all others: a file, and that it is a Sentinel.
        tls: it speaks only TLS with this certificate.
        password: of the user `default`.
    """

    folder: Path
    arguments: Sequence[str] = ()
    tls: CertificateFiles | None = None
    password: str = ""
    first: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    def start(self) -> None:
        """Starts it; it keeps its port."""
        port = ["--port", str(self.port)]
        if self.tls is not None:
            port = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "optional"]
            port += ["--tls-cert-file", str(self.tls.chain), "--tls-key-file", str(self.tls.key)]
            port += ["--tls-ca-cert-file", str(self.tls.ca)]
        always = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--unixsocket", str(self.socket)]
        secret = ["--requirepass", self.password] if self.password else []
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [find_program("redis-server"), *self.first, *port, *always, *secret, *self.arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        """Stops it: connections are accepted by the kernel, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def ask(self, *command: str) -> str:
        """Sends a command by redis-cli, and returns what it prints."""
        where = ["-h", "127.0.0.1", "-p", str(self.port)]
        if self.tls is not None:
            where += ["--tls", "--cacert", str(self.tls.ca)]
        secret = ["--no-auth-warning", "-a", self.password] if self.password else []
        done = subprocess.run(
            [find_program("redis-cli"), *where, *secret, *command],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        )
        return done.stdout.strip()

    def names(self) -> list[str]:
        """The names of what it keeps, without the probe's."""
        return sorted(each for each in self.ask("--raw", "KEYS", "*").split() if not each.endswith(":probe"))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            self._process.wait(timeout=10)


@contextlib.contextmanager
def redis_server(
    folder: Path,
    *arguments: str,
    tls: CertificateFiles | None = None,
    password: str = "",
    first: Sequence[str] = (),
) -> Iterator[RedisServer]:
    """Runs one until the end of the block."""
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder, arguments, tls, password, first)
    server.start()
    try:
        yield server
    finally:
        server.end()
