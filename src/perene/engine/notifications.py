"""Notifications: what changes behind the messages. Each is acknowledged, whatever it says."""

from perene.engine.answers import acknowledge
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.group_key import give_up
from perene.engine.groups import Groups
from perene.engine.line import Line
from perene.engine.linking import Linking
from perene.engine.prekeys import MAX_COUNT, PreKeys
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import SERVER
from perene.engine.reach_out import ReachOut
from perene.engine.stanza import small_number
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node


class Notifications:
    """Applies notifications to what the connection remembers."""

    def __init__(
        self,
        line: Line,
        *,
        devices: Devices,
        groups: Groups,
        tokens: PrivacyTokens,
        reach_out: ReachOut,
        pre_keys: PreKeys,
        linking: Linking,
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._later = line.later
        self._devices = devices
        self._groups = groups
        self._tokens = tokens
        self._reach_out = reach_out
        self._pre_keys = pre_keys
        self._linking = linking

    async def take(self, node: Node) -> None:
        """Apply one `<notification>` and queue its ack. A malformed one is acknowledged too.

        Raises ConnectionEnded for one after which there is nothing to go on with.
        """
        try:
            await self._apply(node)
        except WireError:
            # It says nothing that can be used; unanswered it would come back for ever.
            pass
        self._answers.put(None, acknowledge(node))

    async def dirtied(self, dirty: Node) -> None:
        """Forget what the server calls dirty: it has changed while nobody was told how.

        `dirty` is a child of an `<ib>`. The server is told that we have caught up, as by Baileys
        (src/Socket/groups.ts and chats.ts, 2026-05-21), whatsapp-rust (src/handlers/ib.rs,
        2026-08-21) and zapo (src/client/events/dirty.ts, 2026-08-19); nothing hangs on its answer.
        What Perene reads nothing of, such as the app state, it leaves as it is.
        """
        match dirty.attrs.get("type"):
            case "groups":
                self._groups.forget_all()
            case "account_sync":
                own = self._stage.credentials
                await self._devices.forget_person(self._stage.book, own.own_pn)
            case _:
                return
        said = {name: dirty.attrs[name] for name in ("type", "timestamp") if name in dirty.attrs}
        clean = {"xmlns": "urn:xmpp:whatsapp:dirty", "type": "set", "to": SERVER}
        attrs = {"id": self._queries.next_id(), **clean}
        self._answers.put(None, Node("iq", attrs, (Node("clean", said),)))

    async def _apply(self, node: Node) -> None:
        match node.attrs.get("type"):
            case "encrypt":
                await self._encrypt(node)
            case "devices" | "account_sync":
                await self._forget_devices(node)
            case "w:gp2":
                await self._group(node)
            case "mex":
                await self._reach_out.notice(node)
            case "privacy_token":
                await self._tokens.notice(node)
            case "link_code_companion_reg":
                self._later(lambda: self._linking.by_code.finish(node))
            case "companion_reg_refresh":
                await self._linking.by_qr.renew_secret(node)
            case "passkey_prologue_request" if not self._stage.credentials.paired:
                await self._linking.passkey_asked(node)
            case _:
                pass

    async def _forget_devices(self, node: Node) -> None:
        # The list may have been asked for under either of the person's addresses.
        users = [Jid.parse(node.attrs[name]) for name in ("from", "lid") if name in node.attrs]
        await self._devices.forget_person(self._stage.book, *users)

    async def _encrypt(self, node: Node) -> None:
        count = node.child("count")
        if count is not None:
            known = small_number(count.attrs.get("value", ""), most=MAX_COUNT)
            self._later(lambda: self._pre_keys.refill(known))
        elif node.child("digest") is not None:
            self._later(self._pre_keys.revalidate)
        elif node.child("identity") is not None:
            # New keys of a contact: the devices may have changed too. The ratchet itself is
            # replaced by the pre-key message that follows (docs/reference/protocol.md §4.4).
            await self._forget_devices(node)
            person = Jid.parse(node.attr("from"))
            self._later(lambda: self._tokens.renew(person))

    async def _group(self, node: Node) -> None:
        group = Jid.parse(node.attr("from"))
        self._groups.forget(group)
        if node.child("remove") is None and node.child("leave") is None:
            return
        # Who has left must not read on: the next message is under a new sender key.
        async with self._stage.lock:
            draft = Draft(self._stage)
            give_up(draft, str(group), self._stage.credentials)
            self._answers.put(draft.submit())
