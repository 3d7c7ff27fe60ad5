"""The JSON of messages and conversations."""

import base64
from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from perene.api.addresses import Recipient
from perene.api.parameters import Text
from perene.api.shapes.json import json_object
from perene.api.shapes.request import RequestBody
from perene.core.failures import EXPLANATIONS, Failure, FailureCode
from perene.core.messages import Status
from perene.supervisor.ports import (
    ConversationView,
    MessagePage,
    MessageView,
)


class TextIn(RequestBody):
    """A text to be sent."""

    to: Recipient
    text: Text


class FailureOut(BaseModel):
    """Why a message failed."""

    code: FailureCode = Field(description="Stable; what a program should look at.")
    server_code: str | None = Field(
        description="WhatsApp's own code; null where it gave none, or was not asked."
    )
    meaning: str = Field(description="What it says, for people.")
    remedy: str = Field(description="What whoever sent the message can do.")

    @classmethod
    def of(cls, failure: Failure) -> "FailureOut":
        """Show a failure with its explanation."""
        explained = EXPLANATIONS[failure.code]
        return cls(
            code=failure.code,
            server_code=failure.server_code,
            meaning=explained.meaning,
            remedy=explained.remedy,
        )


class MessageOut(BaseModel):
    """A message, in or out."""

    id: str = Field(description="WhatsApp's id; unique within chat, sender and direction.")
    chat: str = Field(description="The chat, a JID.")
    sender: str = Field(description="Who wrote it, a JID.")
    from_me: bool
    kind: str = Field(
        description='What it holds: "text", "image", …; "unknown" if this version cannot tell.'
    )
    text: str | None = Field(description="The text or caption.")
    timestamp: datetime = Field(description="When it was sent, by the sender's server.")
    status: Status
    failure: FailureOut | None = Field(
        description="Why it failed; null unless `status` is failed, and for messages that failed"
        " before this was kept."
    )
    push_name: str | None = Field(description="The name that the sender shows to others.")
    content: dict[str, JsonValue] | None = Field(description="The decoded fields.")

    @classmethod
    def of(cls, view: MessageView) -> "MessageOut":
        """Show a message without its raw body."""
        message = view.message
        return cls(
            id=message.key.id,
            chat=message.key.chat,
            sender=message.key.sender,
            from_me=message.key.from_me,
            kind=message.kind,
            text=message.text,
            timestamp=message.timestamp,
            status=message.status,
            failure=None if view.failure is None else FailureOut.of(view.failure),
            push_name=message.push_name,
            content=json_object(view.content),
        )


class WholeMessageOut(MessageOut):
    """A message with the bytes that were received or sent."""

    body: str = Field(description="The Message protobuf, in base64.")

    @classmethod
    def of(cls, view: MessageView) -> "WholeMessageOut":
        """Show a message with its raw body."""
        body = base64.b64encode(view.message.body).decode("ascii")
        return cls(**dict(MessageOut.of(view)), body=body)


class MessagesOut(BaseModel):
    """A page of messages."""

    items: list[MessageOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null on the last page.")

    @classmethod
    def of(cls, page: MessagePage) -> "MessagesOut":
        """Show a page."""
        return cls(items=[MessageOut.of(view) for view in page.items], next_cursor=page.next_cursor)


class ConversationOut(BaseModel):
    """One chat of a session."""

    chat: str = Field(description="The chat, a JID.")
    name: str | None
    last_message_at: datetime | None

    @classmethod
    def of(cls, view: ConversationView) -> "ConversationOut":
        """Show a conversation."""
        return cls(chat=view.chat, name=view.name, last_message_at=view.last_message_at)


class ConversationsOut(BaseModel):
    """A page of conversations, latest first."""

    items: list[ConversationOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null on the last page.")
