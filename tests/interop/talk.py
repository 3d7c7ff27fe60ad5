"""What the tests between Baileys and Perene say to each other, and how it is compared."""

import itertools

from tests.interop.baileys import BaileysClient
from tests.support.gateway import Gateway

_keys = itertools.count(1)


async def tell(gateway: Gateway, session: str, to: str, text: str) -> str:
    """Send a text from Perene under a key of its own; return its message id."""
    return await gateway.send(session, to=to, text=text, key=f"told-{next(_keys)}")


async def acquaint(gateway: Gateway, session: str, client: BaileysClient) -> None:
    """Bring both to an established ratchet in both directions, whatever was before."""
    to = await client.phone_number()
    for text in ("hello", "hello again"):
        told = await tell(gateway, session, to, text)
        await client.events.wait("message", id=told)
        sent = await client.send(await gateway.phone_number(session), text)
        await gateway.events.wait("message.received", session=session, message_id=sent)


def heard_by_baileys(client: BaileysClient, prefix: str, *, since: int) -> list[str]:
    """Return the texts with a prefix that others sent, as Baileys gave them to its user."""
    return [one["text"] for one in client.received(since=since) if one["text"].startswith(prefix)]


async def heard_by_perene(gateway: Gateway, session: str, prefix: str) -> list[tuple[str, str]]:
    """Return id and text of the messages with a prefix that others sent, as Perene stored them."""
    return [
        (message["id"], message["text"])
        for message in await gateway.messages(session)
        if not message["from_me"] and (message["text"] or "").startswith(prefix)
    ]
