"""Stories of one session and a few people: each can be told again from its start at any moment."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from perene.sim.endings import Ending
from perene.sim.model import Addressing
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.moments.life import ANA, BIA, CAIO, OWN, Life, jid
from tests.support.world import DESK

Story = Callable[[Life], Awaitable[None]]


async def talk(life: Life) -> None:
    """People write and are answered, alone and in a group that somebody joins."""
    await life.linked()
    life.write(ANA, OWN, "first", "second")
    await life.calm()
    await life.say(jid(ANA), "an answer")
    await life.say(jid(BIA), "not asked for")
    await life.calm()
    life.write(BIA, OWN, "an answer to us")
    group = life.gather(BIA)
    await life.calm()
    life.write(ANA, group, "to all")
    await life.say(group, "from us to all")
    await life.calm()
    if life.once("Caio joins"):
        life.world.simulator.change_group(group, "add", [CAIO])
    await life.calm()
    await life.say(group, "welcome")
    await life.calm()
    life.write(CAIO, group, "thanks")
    await life.calm()


async def link_by_code(life: Life) -> None:
    """The session is linked by a code that is typed on the phone."""
    await life.linked(typed=True)
    life.write(ANA, OWN, "hello")
    await life.calm()
    await life.say(jid(ANA), "hi")
    await life.calm()


async def cannot_read(life: Life) -> None:
    """What people write cannot be read, in every way there is."""
    simulator = life.world.simulator
    await _met(life)
    if life.once("damaged"):
        simulator.add_fault("corrupt", phone=OWN)
    life.write(ANA, OWN, "damaged on its way", "and one that is not")
    await life.calm()
    await life.say(jid(ANA), "read after all")
    await life.calm()
    if life.once("forgotten"):
        simulator.lose_ratchets(ANA)
    life.write(ANA, OWN, "on a new ratchet", "and another")
    await life.calm()
    await life.say(jid(ANA), "on that ratchet")
    await life.calm()
    if life.once("a wrong key"):
        simulator.add_fault("wrong_pre_key", phone=BIA)
    life.write(BIA, OWN, "with a key that nobody has", "and another such")
    await life.calm()
    await life.say(jid(BIA), "to Bia")
    await life.calm()
    for write_first in (True, False):
        if life.once(f"reinstalled, {write_first}"):
            simulator.change_identity(ANA)
        await life.calm()
        if write_first:
            life.write(ANA, OWN, "from a new phone")
            await life.calm()
        await life.say(jid(ANA), f"to a new phone, {write_first}")
        await life.calm()
    life.write(ANA, OWN, "from a newer phone")
    await life.calm()


async def cannot_be_read(life: Life) -> None:
    """People cannot read what the session writes, and ask for it again; one leaves, and is back."""
    simulator = life.world.simulator
    await _met(life)
    if life.once("Ana forgets us"):
        simulator.lose_ratchets(ANA, life.device)
    await life.say(jid(ANA), "once more")
    await life.say(jid(ANA), "and again")
    await life.calm()
    life.write(ANA, OWN, "now I can")
    group = life.gather(BIA, CAIO)
    await life.calm()
    await life.say(group, "to all")
    await life.calm()
    if life.once("Bia forgets all"):
        simulator.lose_ratchets(BIA)
    await life.say(group, "not for Bia at first")
    await life.calm()
    life.write(BIA, group, "now I can, too")
    life.write(CAIO, group, "I always could")
    await life.calm()
    for change in ("remove", "add"):
        if life.once(change):
            simulator.change_group(group, change, [BIA])
        await life.calm()
        await life.say(group, f"after Bia: {change}")
        await life.calm()
    life.write(BIA, group, "here I am")
    await life.calm()


async def away(life: Life) -> None:
    """The session is stopped while much is written, by its own phone as well."""
    await _met(life)
    group = life.gather(BIA, CAIO)
    await life.calm()
    await life.ask(lambda: life.world.perene.sessions.stop(DESK))
    await life.world.pass_time(5)
    for number in range(4):
        life.write(ANA, OWN, f"while you were away, {number}")
        life.write(BIA, group, f"to all, {number}")
        life.write(OWN, ANA, f"from the phone, {number}")
        life.write(CAIO, OWN, f"from somebody new, {number}")
    await life.say(group, "written while stopped")
    await life.ask(lambda: life.world.perene.sessions.start(DESK))
    await life.calm()
    await life.say(jid(CAIO), "I am back")
    await life.calm()
    await life.ask(lambda: life.world.perene.sessions.restart(DESK))
    await life.calm()
    life.write(ANA, OWN, "after it")
    await life.calm()


async def many_first_contacts(life: Life) -> None:
    """So many begin to write that more pre-keys are wanted."""
    await life.linked()
    people = [f"55119711000{number:02}" for number in range(40)]
    for number, phone in enumerate(people):
        life.world.simulator.add_contact(phone)
        life.write(phone, OWN, f"hello, {number}")
        if number == len(people) // 2:
            await life.calm()
    await life.calm()


async def two_addresses(life: Life) -> None:
    """Somebody writes under two addresses, with a ratchet each, until both turn out to be one."""
    await life.linked()
    ana = life.world.simulator.person(ANA)
    ana.account.addressing = "pn"

    def under(form: Addressing, **more: str) -> Callable[[str], Node]:
        def stanza(text: str) -> Node:
            attrs = {"from": str(ana.account.jid(form)), "type": "text", **more}
            enc = life.world.server.sealed(ana, OWN, wa_pb2.Message(conversation=text))
            return Node("message", attrs, (enc,))

        return stanza

    life.put("by number", under("pn"))
    await life.calm()
    await life.say(jid(ANA), "to the number")
    await life.calm()
    if life.once("another ratchet"):
        ana.party.desk.keyring.lose_ratchets()
    life.put("by LID", under("lid"))
    await life.calm()
    await life.say(str(ana.account.jid("lid")), "to the LID")
    await life.calm()
    life.put("by LID, with the number", under("lid", sender_pn=str(ana.account.jid("pn"))))
    life.put("by number again", under("pn"))
    await life.calm()
    await life.say(jid(ANA), "to the number again")
    await life.calm()
    life.put("by LID again", under("lid"))
    await life.calm()


async def limited(life: Life) -> None:
    """Privacy tokens are wanted, and the account is limited for a while."""
    simulator = life.world.simulator
    simulator.use_tokens()
    await _met(life)
    simulator.require_tokens(OWN)
    await life.say(jid(ANA), "with a token")
    await life.calm()
    life.write(BIA, OWN, "a token comes along")
    await life.calm()
    if life.once("limited"):
        simulator.limit(OWN, timedelta(hours=1), tell=True)
    await life.calm()
    await life.say(jid(BIA), "to somebody who wrote")
    await life.calm()
    if life.once("lifted"):
        simulator.limit(OWN, timedelta(0), tell=True)
    await life.calm()
    life.write(CAIO, OWN, "another token")
    await life.calm()
    await life.say(jid(CAIO), "with it")
    await life.calm()


async def sent_away(life: Life) -> None:
    """The server ends connections in its ways, and bans the account for a while."""
    await _met(life)
    endings: Sequence[tuple[Ending, int]] = (("stream_error", 515), ("close", 0), ("failure", 503))
    for how, code in endings:
        if life.once(f"{how} {code}"):
            life.world.simulator.disconnect(OWN, how, code)
        life.write(ANA, OWN, f"after {how} {code}")
        await life.calm()
    if life.once("banned"):
        life.world.simulator.ban(OWN, timedelta(minutes=10))
    life.write(ANA, OWN, "while you are banned")
    await life.calm()
    await life.say(jid(ANA), "here I am")
    await life.calm()


async def link_again(life: Life) -> None:
    """The session is logged out, and linked again."""
    if not life.has_left:
        await _met(life)
        await life.ask(lambda: life.world.perene.sessions.logout(DESK))
        life.has_left = True
    await life.linked()
    life.write(ANA, OWN, "once more")
    await life.calm()
    await life.say(jid(ANA), "once more to you")
    await life.calm()


async def removed(life: Life) -> None:
    """The session is deleted with all that it has, and another of its name is linked."""
    if not life.has_left:
        await _met(life)
        await life.remove()
    await life.linked()
    life.write(ANA, OWN, "to another")
    await life.calm()
    await life.say(jid(ANA), "from another")
    await life.calm()


async def _met(life: Life) -> None:
    await life.linked()
    life.write(ANA, OWN, "hello")
    await life.calm()
    await life.say(jid(ANA), "hi")
    await life.calm()


STORIES: Final[Mapping[str, Story]] = {
    story.__name__: story
    for story in (
        talk,
        link_by_code,
        cannot_read,
        cannot_be_read,
        away,
        many_first_contacts,
        two_addresses,
        limited,
        sent_away,
        link_again,
        removed,
    )
}
