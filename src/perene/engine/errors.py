"""How a connection ends, as exceptions; each carries what `core.causes` classifies."""

from perene.core.causes import Ending
from perene.core.errors import PereneError
from perene.core.failures import Failure, FailureCode


class ConnectionEnded(PereneError):
    """The connection is over. `ending` says how, in terms that `core.causes` classifies."""

    code = "connection_ended"
    remedy = "Perene reconnects by itself where that can help; see the session's state."

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.sentence)
        self.ending = ending


class QueryFailed(PereneError):
    """The server answered a query with an error. `status` is its code, 0 if it gave none."""

    code = "query_failed"
    remedy = "The server refused; its code says why. Perene retries where that can help."

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the server answered {status}: {text}" if text else f"code {status}")
        self.status = status

    @property
    def is_final(self) -> bool:
        """True when the same question would be answered the same way: 4xx but "too often"."""
        return 400 <= self.status < 500 and self.status not in (408, 429)


class QueryTimedOut(PereneError):
    """The server did not answer a query in time."""

    code = "query_timed_out"
    remedy = "The connection may be dead; Perene checks it by itself. Try again in a moment."


class PairingRefused(PereneError):
    """The phone's answer to the pairing does not verify; nothing was linked."""

    code = "pairing_refused"
    remedy = "Scan a fresh QR code with the phone that shall be linked."

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"pairing refused: {text}")
        self.status = status
        self.text = text


class AnotherPairing(PairingRefused):
    """The phone answered a pairing code that is no longer the one shown."""

    code = "another_pairing"
    remedy = "Ask for a new pairing code, and type that one."


class CannotSend(PereneError):
    """A message cannot be sent to anybody. `failure` is what the message keeps of it.

    `may_pass` says that the server may give a better answer when it is asked once more.
    """

    code = "cannot_send"
    remedy = "Check the recipient's number; it may not be on WhatsApp."

    def __init__(self, code: FailureCode, text: str, *, server_code: str | None = None) -> None:
        super().__init__(text)
        self.failure = Failure(code=code, server_code=server_code)
        self.may_pass = code in (FailureCode.NO_KEYS, FailureCode.UNREADABLE_ANSWER)


class Overtaking(Exception):
    """A message would overtake one of its chat that was refused, and is to go out once more."""
