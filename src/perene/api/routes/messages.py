"""Messages and conversations of a session."""

import hashlib
import json
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from perene.api.addresses import Chat
from perene.api.parameters import Cursor, IdempotencyKey, Limit, MessagePath, SessionPath
from perene.api.ports import MessagesPort
from perene.api.problems import documented
from perene.api.shapes.messages import (
    ConversationOut,
    ConversationsOut,
    MessageOut,
    MessagesOut,
    TextIn,
    WholeMessageOut,
)
from perene.core.errors import Conflict, NotFound
from perene.core.ids import MessageId, SessionId

router = APIRouter(prefix="/sessions/{session_id}", tags=["messages"])


class AmbiguousMessage(Conflict):
    """Several messages of the session have this id."""

    code = "ambiguous_message"
    remedy = "Name the chat, or from_me, in the query as well."


@router.get("/messages", responses=documented(404))
async def list_messages(
    session_id: SessionPath,
    messages: MessagesPort,
    chat: Annotated[Chat | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    order: Annotated[
        Literal["desc", "asc"], Query(description="desc begins with the newest.")
    ] = "desc",
) -> MessagesOut:
    """List messages in the order they were stored, a page at a time."""
    page = await messages.list_messages(
        SessionId(session_id),
        chat=chat,
        cursor=cursor,
        limit=limit,
        newest_first=order == "desc",
    )
    return MessagesOut.of(page)


@router.get("/messages/{message_id}", responses=documented(404, 409))
async def get_message(
    session_id: SessionPath,
    message_id: MessagePath,
    messages: MessagesPort,
    chat: Annotated[Chat | None, Query()] = None,
    from_me: Annotated[bool | None, Query(description="Only an own, or only another's.")] = None,
) -> WholeMessageOut:
    """Show a message with its raw body."""
    found = [
        view
        for view in await messages.messages_with_id(SessionId(session_id), MessageId(message_id))
        if chat in (None, view.message.key.chat) and from_me in (None, view.message.key.from_me)
    ]
    if not found:
        raise NotFound("There is no such message in this session.")
    if len(found) > 1:
        raise AmbiguousMessage(f"{len(found)} messages have this id.")
    return WholeMessageOut.of(found[0])


@router.post(
    "/messages",
    status_code=202,
    responses={
        200: {"model": MessageOut, "description": "Sent before under the same key."},
        **documented(404, 409, 429),
    },
)
async def send_message(
    session_id: SessionPath,
    body: TextIn,
    messages: MessagesPort,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> MessageOut:
    """Send a text. It is stored before this answers; its status tells how far it has come.

    While the account is limited, a text to somebody who has not written back is refused with 429.
    """
    accepted = await messages.send_text(
        SessionId(session_id),
        to=body.to,
        text=body.text,
        idempotency_key=idempotency_key,
        request_hash=request_hash(body),
    )
    if accepted.repeated:
        response.status_code = 200
    return MessageOut.of(accepted.message)


@router.get("/conversations", responses=documented(404))
async def list_conversations(
    session_id: SessionPath, messages: MessagesPort, cursor: Cursor = None, limit: Limit = 50
) -> ConversationsOut:
    """List the chats of a session, latest first, a page at a time."""
    page = await messages.list_conversations(SessionId(session_id), cursor=cursor, limit=limit)
    return ConversationsOut(
        items=[ConversationOut.of(view) for view in page.items], next_cursor=page.next_cursor
    )


def request_hash(body: TextIn) -> bytes:
    """Return 32 bytes that are the same for requests that ask for the same, however written."""
    asked = json.dumps({"to": body.to, "text": body.text}, sort_keys=True)
    return hashlib.sha256(asked.encode()).digest()
