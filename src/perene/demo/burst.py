"""A burst of messages in both directions that goes on whatever happens to the service."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from perene.demo.children import DemoFailed
from perene.demo.client import until
from perene.demo.ledger import Ledger, Sent
from perene.demo.stage import Stage

_EACH_WRITES = 60
_EACH_SESSION_SENDS = 30
_PATIENCE_S = 60.0


class Burst:
    """Threads that write as contacts, and that send through the API as a careful client does.

    Entering it starts them; leaving it waits until everything is sent.
    """

    def __init__(
        self, stage: Stage, ledger: Ledger, *, phones: dict[str, str], contacts: Sequence[str]
    ) -> None:
        self.inbound = _EACH_WRITES * len(contacts)
        self.outbound = _EACH_SESSION_SENDS * len(phones)
        self.repeated = 0
        self._stage = stage
        self._ledger = ledger
        self._phones = phones
        self._contacts = contacts
        self._before = len(ledger.written)
        self._failures: list[DemoFailed] = []
        work = [self._writer(contact) for contact in contacts]
        work += [self._sender(session, list(contacts)) for session in phones]
        self._threads = [threading.Thread(target=self._guarded(job), daemon=True) for job in work]

    def __enter__(self) -> "Burst":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            return  # the threads are daemons: they end with the demo
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if self._failures:
            raise self._failures[0]

    @property
    def written(self) -> int:
        """How many messages contacts have written so far."""
        return len(self._ledger.written) - self._before

    def wait_for_written(self, count: int) -> None:
        """Return once so many were written."""
        until(lambda: self.written >= count or bool(self._failures), "the burst")

    def _guarded(self, job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                job()
            except DemoFailed as failure:
                self._failures.append(failure)

        return run

    def _writer(self, contact: str) -> Callable[[], None]:
        def write() -> None:
            sessions = list(self._phones)
            for number in range(_EACH_WRITES):
                session, text = sessions[number % len(sessions)], f"message {number + 1}"
                form = {"to": self._phones[session], "text": text}
                answer = self._stage.simulator.ask("POST", f"/admin/accounts/{contact}/send", form)
                sent = Sent(session=session, contact=contact, id=answer["id"], text=text)
                self._ledger.write(sent)

        return write

    def _sender(self, session: str, contacts: list[str]) -> Callable[[], None]:
        def send() -> None:
            for number in range(_EACH_SESSION_SENDS):
                contact, text = contacts[number % len(contacts)], f"answer {number + 1}"
                answer, attempts = self._stage.perene.insist(
                    f"/v1/sessions/{session}/messages",
                    {"to": contact, "text": text},
                    {"Idempotency-Key": f"{session}-{number}"},
                    within_s=_PATIENCE_S,
                )
                self.repeated += attempts - 1
                sent = Sent(session=session, contact=contact, id=answer["id"], text=text)
                self._ledger.answer(sent)

        return send
