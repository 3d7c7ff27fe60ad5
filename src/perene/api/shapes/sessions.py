"""The JSON of sessions: what they are made of, how they are, and how they are linked."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field

from perene.api.addresses import PhoneNumber
from perene.api.parameters import Name
from perene.api.shapes.outlook import (
    Attempt,
    AttemptLimit,
    DeafSuspicions,
    LastCause,
    OutageBegan,
    RetryAt,
)
from perene.api.shapes.request import RequestBody
from perene.core.account import Ban
from perene.core.ids import SESSION_ID
from perene.core.sessions import Connection, Desired, SessionOptions
from perene.core.twins import user_of
from perene.supervisor.ports import SessionView


def _proxy(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable():
        raise ValueError("not the address of a proxy: give http://host:port or https://host:port")
    return text


class OptionsIn(RequestBody):
    """What a session does differently from the service's settings."""

    history_sync: bool | None = Field(
        default=None, description="Ask for the full history when pairing."
    )
    mark_online: bool | None = Field(
        default=None,
        description="Answer as a device in use: senders see the second tick at once. Nobody is"
        " shown as online.",
    )
    proxy: (
        Annotated[
            str,
            Field(max_length=2048, pattern=r"^https?://\S+$"),
            AfterValidator(_proxy),
        ]
        | None
    ) = Field(default=None, description="Proxy for the connection to WhatsApp.")

    query_timeout_s: Annotated[float, Field(ge=0.001, le=3600)] | None = Field(
        default=None, description="Time to wait for the chat server's answer, in seconds."
    )

    def options(self) -> SessionOptions:
        """Return the options as the core knows them."""
        return SessionOptions(
            history_sync=self.history_sync,
            mark_online=self.mark_online,
            proxy=self.proxy,
            query_timeout_s=self.query_timeout_s,
        )


class SessionIn(RequestBody):
    """A session to be created."""

    id: Annotated[str, Field(pattern=SESSION_ID)] | None = Field(
        default=None,
        description="An id of your own: a-z, 0-9, _ and -; Perene makes one if there is none.",
    )
    name: Name | None = Field(default=None, description="A name for people.")
    start: bool = Field(default=True, description="Whether to start it at once.")
    options: OptionsIn = Field(default_factory=OptionsIn)


class PairingCodeIn(RequestBody):
    """The phone on which the code will be typed."""

    phone: PhoneNumber


class PairingCodeOut(BaseModel):
    """A code to be typed on the phone, under Linked devices."""

    code: str = Field(description="The code.")


class QrOut(BaseModel):
    """The text of a QR code."""

    text: str
    expires_at: datetime


class OptionsOut(BaseModel):
    """What a session does differently; null takes the service's setting."""

    history_sync: bool | None
    mark_online: bool | None
    proxy: str | None = Field(description="The proxy, without its password.")
    query_timeout_s: float | None


class BanOut(BaseModel):
    """A ban of the number that is in force, as far as is known."""

    code: str | None = Field(description="WhatsApp's sub-code, if it named one.")
    meaning: str = Field(description="What it says, for people.")
    until: datetime | None = Field(
        description="When it ends, and nothing is tried before; null when that is not known."
    )

    @classmethod
    def of(cls, ban: Ban) -> "BanOut":
        """Show a ban."""
        return cls(code=ban.code, meaning=ban.meaning, until=ban.until)


class SessionOut(BaseModel):
    """A session: one linked device of one WhatsApp account."""

    id: str
    name: str | None
    desired: Desired = Field(description="What its user wants; survives a restart.")
    connection: Connection = Field(description="What is true at this moment.")
    connected_at: datetime | None = Field(description="When the present login was completed.")
    paired: bool = Field(description="Whether it is linked to a phone.")
    phone: str | None = Field(description="The account's number, digits with country code.")
    lid: str | None = Field(description="The account's other address.")
    push_name: str | None = Field(description="The name that the account shows to others.")
    platform: str | None = Field(description="What kind of phone it is linked to.")
    qr_available: bool = Field(description="Whether a QR code can be scanned now.")
    pairing_code_expires_at: datetime | None = Field(
        description="Until when the pairing code that was asked for last can be typed. Null when"
        " there is none any more: a code ends with the connection that it was made on."
    )
    last_error: str | None = Field(description="What went wrong last, for a person.")
    alive_at: datetime | None = Field(description="When WhatsApp last proved to be there.")
    phone_seen_at: datetime | None = Field(
        description="When the phone was last heard of. WhatsApp unlinks its devices after about"
        " 14 days without it."
    )
    cause: LastCause
    attempt: Attempt
    limit: AttemptLimit
    retry_at: RetryAt
    outage_began_at: OutageBegan
    deaf_suspicions: DeafSuspicions
    twins: list[str] = Field(
        description="Other sessions that are linked to the same account. All of them work, and each"
        " receives every message: log out those that are not meant."
    )
    ban: BanOut | None = Field(description="The temporary ban of the number, if there is one.")
    created_at: datetime
    options: OptionsOut
    as_of: datetime | None = Field(
        description="Null, unless the database gives no answer: then when it last told what it"
        " keeps of the session (name, desired, account, twins, options). How the connection is"
        " comes from memory in any case, and is true at this moment."
    )

    @classmethod
    def of(cls, view: SessionView) -> "SessionOut":
        """Show a session."""
        record, outlook = view.record, view.outlook
        return cls(
            id=record.id,
            name=record.name,
            desired=record.desired,
            connection=view.connection,
            connected_at=view.connected_at,
            paired=record.paired,
            phone=_user(record.pn),
            lid=record.lid,
            push_name=record.push_name,
            platform=record.platform,
            qr_available=view.qr_available,
            pairing_code_expires_at=view.code_expires_at,
            last_error=view.last_error,
            alive_at=view.alive_at,
            phone_seen_at=view.phone_seen_at,
            cause=outlook.cause,
            attempt=outlook.attempt,
            limit=outlook.limit,
            retry_at=outlook.retry_at,
            outage_began_at=outlook.outage_began_at,
            deaf_suspicions=view.deaf_suspicions,
            twins=list(view.twins),
            ban=None if outlook.ban is None else BanOut.of(outlook.ban),
            created_at=record.created_at,
            options=OptionsOut(
                history_sync=record.options.history_sync,
                mark_online=record.options.mark_online,
                proxy=_without_password(record.options.proxy),
                query_timeout_s=record.options.query_timeout_s,
            ),
            as_of=view.as_of,
        )


class SessionsOut(BaseModel):
    """Every session, oldest first."""

    items: list[SessionOut]


def _user(jid: str | None) -> str | None:
    return None if jid is None else user_of(jid)


def _without_password(url: str | None) -> str | None:
    if url is None or "@" not in url:
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}"
