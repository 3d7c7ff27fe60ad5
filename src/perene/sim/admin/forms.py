"""What the admin API takes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from perene.sim.endings import Ending
from perene.sim.faults import FaultKind
from perene.sim.model import Addressing
from perene.wire.node import Node


class Form(BaseModel):
    """A body; a field that it does not have is an error."""

    model_config = ConfigDict(extra="forbid")


class Code(Form):
    """A pairing code, with or without its hyphen, and the number it is typed on."""

    phone: str
    code: str


class Text(Form):
    """A text to send; `to` is a number or a group's address."""

    to: str
    text: str
    id: str | None = None


class Ids(Form):
    """Ids of messages."""

    ids: list[str]


class Past(Form):
    """A message from before; `chat` is a number, `time` unix seconds."""

    chat: str
    id: str
    text: str
    time: int
    from_me: bool = False


class AccountChange(Form):
    """How a phone or contact behaves; what is left out stays."""

    name: str | None = None
    addressing: Addressing | None = None
    auto_read: bool | None = None
    resends: bool | None = None
    online: bool | None = None


class NewContacts(Form):
    """Contacts to add: one with a given number, or `count` with the next free ones."""

    phone: str | None = None
    name: str = ""
    addressing: Addressing = "lid"
    count: int = Field(default=1, ge=1, le=10_000)


class NewGroup(Form):
    """A group of these numbers."""

    subject: str
    creator: str
    members: list[str] = Field(default_factory=list)
    addressing: Addressing = "lid"


class ParticipantChange(Form):
    """A change of who is in a group; `by` is the creator if left out."""

    change: Literal["add", "remove", "promote", "demote"]
    phones: list[str]
    by: str | None = None


class NewFault(Form):
    """A fault to plan; `GET /admin/faults` says what each kind does."""

    kind: FaultKind
    phone: str | None = None
    device: int | None = None
    count: int = Field(default=1, ge=1)
    xmlns: str | None = None
    seconds: float = Field(default=0.0, ge=0)
    reason: int = 0
    code: int | None = None
    expire: int | None = None
    how: Ending | None = None


class Disconnect(Form):
    """Sessions to end: of one number, or all."""

    phone: str | None = None
    how: Ending = "close"
    code: int = 503


class NewLimit(Form):
    """A reach-out limit."""

    phone: str
    seconds: float = Field(ge=0)
    code: int = 463
    tell: bool = False


class TokenRule(Form):
    """Whether a number's messages need privacy tokens, and how long any token is good."""

    phone: str
    required: bool = True
    weeks: int | None = Field(default=None, ge=1, le=520)


class NewBan(Form):
    """A temporary ban."""

    phone: str
    seconds: float = Field(gt=0)
    code: int = 101


class Version(Form):
    """The oldest version that may log in, such as [2, 3000, 1035194821]; [] accepts all.

    With `to_link`, the oldest that a phone links.
    """

    version: tuple[int, ...]
    to_link: bool = False


class WebVersion(Form):
    """The last number of the live version, and the HTTP status under which it is told."""

    revision: int | None = Field(default=None, gt=0, lt=2**32)
    status: int | None = Field(default=None, ge=200, le=599)


class NewTraffic(Form):
    """A load; see perene.sim.traffic."""

    to: str
    device: int | None = None
    contacts: int = Field(default=1, ge=1)
    messages: int = Field(default=100, ge=1)
    size: int = Field(default=100, ge=1)
    mode: Literal["chain", "fresh"] = "chain"


class Stanza(Form):
    """A stanza; content is children, or `text`, or bytes in `hex`."""

    tag: str
    attrs: dict[str, str] = Field(default_factory=dict[str, str])
    children: list["Stanza"] = Field(default_factory=list["Stanza"])
    text: str | None = None
    hex: str | None = Field(default=None, pattern="^([0-9a-fA-F]{2})*$")

    def node(self) -> Node:
        """Return it as the codec takes it."""
        content: tuple[Node, ...] | bytes | None = None
        if self.children:
            content = tuple(child.node() for child in self.children)
        elif self.hex is not None:
            content = bytes.fromhex(self.hex)
        elif self.text is not None:
            content = self.text.encode()
        return Node(self.tag, self.attrs, content)
