"""The messages that Perene has stored."""

from collections.abc import Sequence

from perene.core.ids import SessionId
from perene.supervisor.ports import MessageView
from tests.support.perene import DESK, Perene


class Stored:
    """Looks at the messages of a session, as the API shows them."""

    def __init__(self, perene: Perene) -> None:
        self._perene = perene

    async def messages(
        self, chat: str | None = None, *, session: SessionId = DESK
    ) -> Sequence[MessageView]:
        """Return the session's messages, oldest first."""
        page = await self._perene.messages.list_messages(
            session, chat=chat, cursor=None, limit=1000, newest_first=False
        )
        return page.items

    async def texts(
        self, chat: str | None = None, *, session: SessionId = DESK
    ) -> list[str | None]:
        """Return the texts of the session's messages, oldest first."""
        return [view.message.text for view in await self.messages(chat, session=session)]
