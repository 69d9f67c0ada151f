"""A mail server on loopback that keeps what it is given, and may fail in the ways that mail servers do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(slots=True)
class Behaviour:
    """How the server behaves; may be changed while it runs.

    Attributes:
        tls: offers STARTTLS with this.
        users: who may log in, with what; nobody is asked when there are none.
        refuses: answers mail with 550.
        silent: says nothing at all.
    """

    tls: ssl.SSLContext | None = None
    users: dict[str, str] = field(default_factory=dict)
    refuses: bool = False
    silent: bool = False


@dataclass(slots=True)
class MailServer:
    """A server that runs.

    Attributes:
        mails: what was delivered, in order, each with its sender and receivers of the envelope.
        logins: who logged in, and whether the connection was encrypted.
        heard: every line that came, without mails.
    """

    port: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, bool]] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def wait_for(self, number: int, *, seconds: float = 45.0) -> list[EmailMessage]:
        """Waits until so many mails are there."""
        deadline = time.monotonic() + seconds
        while len(self.mails) < number:
            assert time.monotonic() < deadline, f"{len(self.mails)} mails after {seconds} s"
            time.sleep(0.01)
        return [mail for _, _, mail in self.mails]

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speaks SMTP (RFC 5321, 3207, 4954) until the client leaves."""
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._converse(reader, writer)
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, receivers, encrypted, behaviour = "", [], False, self.behaviour

        async def say(*lines: str) -> None:
            writer.write("".join(f"{line}\r\n" for line in lines).encode())
            await writer.drain()

        if behaviour.silent:
            await reader.read()
            return
        await say("220 here")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.heard.append(line)
            word = line.split(" ")[0].upper()
            if word == "EHLO":
                offered = ["STARTTLS"] if behaviour.tls and not encrypted else []
                offered += ["AUTH PLAIN"] if behaviour.users else []
                names = ["here", *offered]
                await say(*[f"250{'-' if name is not names[-1] else ' '}{name}" for name in names])
            elif word == "STARTTLS" and behaviour.tls is not None:
                await say("220 go on")
                await writer.start_tls(behaviour.tls)
                encrypted = True
            elif word == "AUTH":
                _, name, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                right = behaviour.users.get(name) == password
                self.logins += [(name, encrypted)] if right else []
                await say("235 welcome" if right else "535 wrong")
            elif word == "MAIL":
                sender = line
                await say("530 who are you?" if behaviour.users and not self.logins else "250 so far")
            elif word == "RCPT":
                receivers.append(line.partition("<")[2].partition(">")[0])
                await say("550 not here" if behaviour.refuses else "250 so far")
            elif word == "DATA":
                await say("354 go on")
                content = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(content[:-3].replace(b"\r\n..", b"\r\n."), policy=policy.default)
                self.mails.append((sender, receivers, mail))
                receivers = []
                await say("250 taken")
            elif word == "QUIT":
                await say("221 bye")
                return
            else:
                await say("250 well")


@contextlib.contextmanager
def mail_server(behaviour: Behaviour | None = None, *, host: str = "127.0.0.1") -> Iterator[MailServer]:
    """Runs a server, in a thread of its own, until the end of the block."""
    server = MailServer(behaviour=behaviour or Behaviour())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(server.converse, host, 0, limit=4 * 1024 * 1024)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    server.port = listening.sockets[0].getsockname()[1]

    async def stop() -> None:
        listening.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
