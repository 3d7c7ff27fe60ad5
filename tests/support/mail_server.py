"""A mail server on this machine: SMTP with STARTTLS and passwords, as `mailtos://` wants it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "bot", "s3cret-pass"


@dataclass  # without slots: aiosmtpd looks at all members, which Python 3.11.2 cannot have then
class MailServer:
    """Keeps the mails that it took, unless it is told what to answer to a command instead.

    It knows every recipient but those `unknown`. What is sent is taken when it `goes_on`. `asked`
    counts who came so far as to name a sender.
    """

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])
    answers: dict[str, str] = field(default_factory=dict[str, str])
    unknown: set[str] = field(default_factory=set[str])
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    close: Callable[[], Awaitable[None]] = field(init=False)

    def url(self, user: str = USER, password: str = PASSWORD, **parameters: str) -> str:
        """Return the address that apprise knows it by."""
        query = {"from": "perene@example.com", "to": "oncall@example.com", **parameters}
        told = "&".join(f"{name}={value}" for name, value in query.items())
        return f"mailtos://{user}:{password}@127.0.0.1:{self.port}?{told}"

    async def handle_MAIL(  # noqa: N802  # aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, options
        self.asked += 1
        assert session.ssl is not None
        assert session.authenticated
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        if address in self.unknown:
            return "550 5.1.1 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session
        await self.goes_on.wait()
        if "DATA" in self.answers:
            return self.answers["DATA"]
        content = cast("bytes", envelope.original_content)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"


def _knows(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
) -> AuthResult:
    del server, session, envelope, mechanism
    assert isinstance(data, LoginPassword)
    right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


class _Connection(SMTP):
    """A client, whom the server can let go of."""

    def __init__(self, mails: MailServer, tls: ssl.SSLContext) -> None:
        super().__init__(
            mails,
            hostname="mail.example",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=_knows,
        )
        self.over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open = transport

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.over.set()

    async def end(self) -> None:
        self._open.close()
        await self.over.wait()


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext) -> AsyncGenerator[MailServer]:
    """Run one in this loop; nobody sends without TLS and the password."""
    mails, connections = MailServer(), list[_Connection]()

    def connected() -> _Connection:
        connections.append(_Connection(mails, tls))
        return connections[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connected, "127.0.0.1", 0)
    mails.port = server.sockets[0].getsockname()[1]
    mails.goes_on.set()

    async def close() -> None:
        server.close()
        await server.wait_closed()
        for connection in connections:
            await connection.end()

    mails.close = close
    try:
        yield mails
    finally:
        mails.goes_on.set()
        await close()
