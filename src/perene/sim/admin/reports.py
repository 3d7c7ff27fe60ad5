"""The evidence as JSON, for the admin API and for tests that compare."""

from dataclasses import asdict

from perene.sim.evidence import DeviceCounters
from perene.sim.faults import Fault
from perene.sim.groups import Group
from perene.sim.model import Account, Device
from perene.sim.simulator import Simulator
from perene.sim.traffic import Traffic

Json = dict[str, object]


def device(simulator: Simulator, found: Device) -> Json:
    """Describe a device and count what happened to its stanzas."""
    counters = simulator.evidence.of(found)
    return {
        "device": found.id,
        "jid": str(found.jid("pn")),
        "lid": str(found.jid("lid")),
        "platform": found.platform,
        "connected": found in simulator.service.gatekeeper.sessions or not found.id,
        "logins": found.logins,
        "pre_keys_left": len(found.keys.one_time),
        "bundles_handed_out": found.keys.handed_out,
        "held": len(found.mailbox),
        "unanswered": len(list(found.mailbox.unanswered)),
    } | counted(counters)


def counted(counters: DeviceCounters) -> Json:
    """Return the counters of a device."""
    return {
        "delivered": counters.delivered,
        "redelivered": counters.redelivered,
        "answered": dict(counters.answered),
        "retries_asked": counters.retries_asked,
        "answers_for_nothing": counters.answers_for_nothing,
        "keys_reused": counters.keys_reused,
    }


def account(simulator: Simulator, found: Account) -> Json:
    """Describe an account with its devices."""
    return {
        "phone": found.phone,
        "lid": str(found.jid("lid")),
        "name": found.name,
        "addressing": found.addressing,
        "devices": [device(simulator, one) for one in found.devices.values()],
        "removed_devices": sorted(found.removed),
        "pairing_code": simulator.service.pairing.codes.state(found.phone),
    }


def group(found: Group) -> Json:
    """Describe a group."""
    return {
        "jid": found.jid,
        "subject": found.subject,
        "creator": found.creator.phone,
        "addressing": found.addressing,
        "participants": {one.phone: role or "member" for one, role in found.roles.items()},
    }


def stats(simulator: Simulator) -> Json:
    """Sum up the whole world."""
    total = DeviceCounters()
    for name, counters in simulator.evidence.devices.items():
        if name.endswith(":0"):
            continue  # a phone: part of the simulator, not of what is tested
        total.delivered += counters.delivered
        total.redelivered += counters.redelivered
        total.answered.update(counters.answered)
        total.retries_asked += counters.retries_asked
        total.answers_for_nothing += counters.answers_for_nothing
        total.keys_reused += counters.keys_reused
    mailboxes = [one.mailbox for found in simulator.directory for one in found.companions]
    held = sum(len(mailbox) for mailbox in mailboxes)
    unanswered = sum(len(list(mailbox.unanswered)) for mailbox in mailboxes)
    people = simulator.service.people.everybody()
    return {
        "accounts": len(people),
        "companions": sum(len(person.account.companions) for person in people),
        "sessions": len(simulator.service.gatekeeper.sessions),
        "groups": len(list(simulator.world.groups)),
        "companion_stanzas": counted(total) | {"held": held, "unanswered": unanswered},
        "people": {
            name: sum(person.party.desk.counts[name] for person in people)
            for name in sorted({name for person in people for name in person.party.desk.counts})
        },
        "reused_keys": [asdict(reused) for reused in simulator.evidence.reused_keys],
        "unknown_iqs": dict(simulator.evidence.unknown_iqs),
        "events": dict(simulator.evidence.events),
    }


def delivered(simulator: Simulator, phone: str, number: int | None) -> list[Json]:
    """List the messages that were passed on to a companion, in order, each once."""
    found = simulator.device(phone, number)
    return [asdict(one) for one in simulator.evidence.deliveries.get(found.name, [])]


def inbox(simulator: Simulator, phone: str) -> Json:
    """List what somebody has read, and count what else happened at that phone."""
    party = simulator.person(phone).party
    return {
        "messages": [asdict(read) for read in party.reader.inbox],
        "counts": dict(party.desk.counts),
        "receipts": {message_id: dict(kinds) for message_id, kinds in party.receipts.items()},
        "online": party.desk.device.mailbox.is_open,
    }


def fault(found: Fault) -> Json:
    """Describe a fault that is still to happen."""
    return {name: value for name, value in asdict(found).items() if value is not None}


def traffic(found: Traffic) -> Json:
    """Tell how far a load is; times are seconds since its first stanza was sent."""

    def since(moment: float | None) -> float | None:
        if moment is None or found.first_sent is None:
            return None
        return moment - found.first_sent

    return {
        "id": found.id,
        "to": found.target.name,
        "total": found.total,
        "prepared_in_s": found.prepared_in_s,
        "sent": found.next,
        "answered": found.answered,
        "answers": found.answers,
        "firing": found.firing,
        "last_sent_s": since(found.last_sent),
        "last_answer_s": since(found.last_answer),
    }
