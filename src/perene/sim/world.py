"""Everything the parts of the simulator share: the clock, the people, what happened so far."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from perene.sim.addresses import Numbers
from perene.sim.agenda import Agenda
from perene.sim.evidence import Evidence
from perene.sim.faults import Faults
from perene.sim.groups import Groups
from perene.sim.mailbox import Held
from perene.sim.model import Device, Directory
from perene.sim.privacy_tokens import PrivacyTokens
from perene.sim.reach_out import ReachOutRules
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the simulated service behaves when no fault is asked for."""

    low_pre_keys: int = 5
    """A device is told that it is low when fewer one-time pre-keys than this are left."""
    initial_sync: bool = True
    """Whether the phone sends app-state keys and history after a companion's first login."""
    history_chunk: int = 100
    """How many past messages one chunk of history holds."""
    auto_contacts: bool = False
    """Whether an unknown number that is looked up becomes a contact at once."""
    answer_within: timedelta = timedelta(minutes=50)
    """The stream is ended when a stanza on it has waited so long for its answer (observed by
    whatsapp-rust, pull request 1101, 2026-07-25)."""


@dataclass(slots=True, kw_only=True, eq=False)
class World:
    """The state of one simulator."""

    now: Callable[[], datetime]
    settings: Settings
    numbers: Numbers
    agenda: Agenda
    directory: Directory = field(default_factory=Directory)
    groups: Groups = field(default_factory=Groups)
    evidence: Evidence = field(default_factory=Evidence)
    faults: Faults = field(default_factory=Faults)
    reach_out: ReachOutRules = field(default_factory=ReachOutRules)
    tokens: PrivacyTokens = field(default_factory=PrivacyTokens)
    stanzas: int = 0

    @property
    def unix(self) -> str:
        """The time as stanzas carry it: whole seconds since 1970."""
        return str(int(self.now().timestamp()))

    def stanza_id(self) -> str:
        """Return a fresh id for a stanza of the server's own."""
        self.stanzas += 1
        return f"{self.stanzas}-{secrets.token_hex(4)}"

    def notify(
        self,
        device: Device,
        kind: str,
        sender: str = SERVER_JID,
        *,
        child: Node,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Queue a notification for a device; it stays until the device acknowledges it.

        `more` are further attributes of the stanza.
        """
        attrs = {"id": self.stanza_id(), "from": sender, "type": kind, "t": self.unix}
        attrs |= more or {}
        device.mailbox.put(Held(stanza=Node("notification", attrs, (child,))))
