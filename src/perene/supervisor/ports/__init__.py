"""What faces outward needs of the sessions: a few narrow, total protocols.

"Total" means that every method answers for every argument of its type: with a value, or with one
of the PereneErrors that its docstring names. StorageUnavailable may come from any of them and is
not repeated. All of them may be cancelled at any await without an effect on a session.
"""

from perene.supervisor.ports.account import Accounts, AccountView, ReachOutLimited
from perene.supervisor.ports.alerts import Alerts, AlertTestUnderWay, AlertTrial, Tried
from perene.supervisor.ports.events import EventPage, Events, StoredEvent
from perene.supervisor.ports.health import (
    ComponentHealth,
    DetailedHealth,
    Health,
    HealthSource,
    MetricsSource,
    SessionHealth,
)
from perene.supervisor.ports.keys import Caller, Keys
from perene.supervisor.ports.messages import (
    Accepted,
    ConversationPage,
    ConversationView,
    MessagePage,
    Messages,
    MessageView,
)
from perene.supervisor.ports.sessions import (
    AlreadyExists,
    AlreadyPaired,
    Gateway,
    NotPaired,
    NotRunning,
    OutagePage,
    PairingNotReady,
    QrView,
    SessionView,
)

__all__ = [
    "Accepted",
    "AccountView",
    "Accounts",
    "AlertTestUnderWay",
    "AlertTrial",
    "Alerts",
    "AlreadyExists",
    "AlreadyPaired",
    "Caller",
    "ComponentHealth",
    "ConversationPage",
    "ConversationView",
    "DetailedHealth",
    "EventPage",
    "Events",
    "Gateway",
    "Health",
    "HealthSource",
    "Keys",
    "MessagePage",
    "MessageView",
    "Messages",
    "MetricsSource",
    "NotPaired",
    "NotRunning",
    "OutagePage",
    "PairingNotReady",
    "QrView",
    "ReachOutLimited",
    "SessionHealth",
    "SessionView",
    "StoredEvent",
    "Tried",
]
