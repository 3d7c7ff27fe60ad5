"""What a session sends with is given up, in a database that is older than what it has sent."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.unit import HolderChange, Profile, RatchetWrite, SenderKeyWrite
from perene.store.store import Store
from tests.support.units import ANA, Bytes, unit

pytestmark = pytest.mark.requirement("F4")

GROUP = "1@g.us"
OWN, BEA, RUI = "100_1.7", "200_1.0", SessionId("rui")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Retiring:
    """Retires what does not begin with a hyphen."""

    def retired(self, ratchet: bytes) -> bytes | None:
        return None if ratchet.startswith(b"-") else b"-" + ratchet

    def own_sender(self, profile: Profile) -> tuple[str, int] | None:
        assert profile.pn == "100:7@s.whatsapp.net"
        return "100_1", 7


async def filled(store: Store, session: SessionId, ratchets: int) -> None:
    await store.create_session(session)
    await store.commit(
        [
            unit(
                session=session,
                profile=Profile(pn="100:7@s.whatsapp.net", lid="100:7@lid"),
                ratchets=tuple(
                    RatchetWrite(address=f"{n}.{n % 3}", state=Bytes(f"{n}".encode()))
                    for n in range(ratchets)
                ),
                sender_keys=tuple(
                    SenderKeyWrite(group=GROUP, address=address, state=Bytes(b"chain"))
                    for address in (OWN, BEA, "100_1.8")
                ),
                holders=(HolderChange(group=GROUP, added=(BEA,)),),
            )
        ]
    )


@pytest.mark.parametrize("at_once", [1, 4, 5, 500])
async def test_ratchets_are_retired_and_own_sender_keys_given_up(
    store: Store, at_once: int
) -> None:
    await filled(store, ANA, ratchets=12)
    await filled(store, RUI, ratchets=1)

    for _ in range(2):  # to begin anew changes nothing more
        await store.renew_keys(ANA, Retiring(), at_once=at_once)

        reader = store.reader(ANA, Epoch(0))
        addresses = [f"{n}.{n % 3}" for n in range(12)]
        assert await reader.ratchets(addresses) == {
            address: b"-" + address.partition(".")[0].encode() for address in addresses
        }
        assert await reader.sender_key(GROUP, OWN) is None
        assert await reader.sender_key(GROUP, BEA) == b"chain"
        assert await reader.sender_key(GROUP, "100_1.8") == b"chain"
        assert await reader.sender_key_holders(GROUP) == frozenset()
    other = store.reader(RUI, Epoch(0))
    assert await other.ratchets(["0.0"]) == {"0.0": b"0"}
    assert await other.sender_key(GROUP, OWN) == b"chain"
    assert await other.sender_key_holders(GROUP) == {BEA}


async def test_events_go_on_behind_a_number_that_is_skipped_to(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.append_events([(None, Event(type=EventType.SESSION_DELETED, at=NOW))])
    told = Event(type=EventType.DATABASE_WENT_BACK, at=NOW)
    await store.skip_events(5000, told)
    await store.append_events([(None, Event(type=EventType.SESSION_DELETED, at=NOW))])
    other = open_store()
    assert [one.seq for one in await other.events_after(0)] == [1, 5001, 5002]
    assert (await other.events_after(1))[0].event.id == told.id
    await store.skip_events(100, Event(type=EventType.DATABASE_WENT_BACK, at=NOW))
    assert await other.last_seq() == 5003
