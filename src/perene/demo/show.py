"""The acts of the demo, each shown as it happens."""

import time
from dataclasses import dataclass

from perene.demo.burst import Burst
from perene.demo.client import until
from perene.demo.ledger import Count, Ledger, Sent
from perene.demo.screen import Screen, milliseconds
from perene.demo.stage import Stage

SESSIONS = ("shop", "home")
NAMES = ("Bea", "Caio", "Dora", "Enzo", "Flor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part: by name, the number of each session's phone and of each contact's."""

    phones: dict[str, str]
    contacts: dict[str, str]


def play(stage: Stage, screen: Screen) -> bool:
    """Play every act; return whether all counts were right. Raises DemoFailed."""
    ledger = Ledger()
    screen.step("Start a simulated WhatsApp, and Perene")
    stage.open()
    screen.say(f"simulator  {stage.simulator.url}/admin/docs")
    screen.say(f"Perene     {stage.perene.url}/docs")
    cast = _pair(stage, screen)
    _talk(stage, screen, cast, ledger)
    _crash(stage, screen, cast, ledger)
    return _settle(stage, screen, cast, ledger)


# --- pairing ----------------------------------------------------------------------------------


def _pair(stage: Stage, screen: Screen) -> Cast:
    first, second = SESSIONS
    screen.step("Link two sessions to phones")
    stage.perene.ask("POST", "/v1/sessions", {"id": first})
    screen.say(f"POST /v1/sessions {first}: its QR code")
    path = f"/v1/sessions/{first}/qr?format="
    drawing = stage.perene.text("GET", f"{path}terminal")
    screen.write("".join(f"   {line}\n" for line in drawing.splitlines()))
    begun = time.monotonic()
    qr = stage.perene.text("GET", f"{path}text")
    phone = str(stage.simulator.ask("POST", "/admin/mock-phone/scan-qr", qr)["phone"])
    _until_open(stage, first)
    screen.say(f"the phone +{phone} scanned it: connected after {milliseconds(begun)}")

    other = str(stage.simulator.ask("POST", "/admin/contacts", {"name": "Home"})[0]["phone"])
    stage.perene.ask("POST", "/v1/sessions", {"id": second})
    stage.perene.text("GET", f"/v1/sessions/{second}/qr?format=text")  # there is an offer to pair
    answer = stage.perene.ask("POST", f"/v1/sessions/{second}/pairing-code", {"phone": other})
    code = str(answer["code"])
    begun = time.monotonic()
    stage.simulator.ask("POST", "/admin/mock-phone/enter-code", {"phone": other, "code": code})
    _until_open(stage, second)
    screen.say(f"the phone +{other} typed {code} for {second}: after {milliseconds(begun)}")
    people = {
        name: str(stage.simulator.ask("POST", "/admin/contacts", {"name": name})[0]["phone"])
        for name in NAMES
    }
    return Cast(phones={first: phone, second: other}, contacts=people)


def _until_open(stage: Stage, session: str) -> None:
    def is_open() -> bool:
        return stage.perene.ask("GET", f"/v1/sessions/{session}")["connection"] == "open"

    until(is_open, f"session {session} to connect")


# --- talking ----------------------------------------------------------------------------------


def _talk(stage: Stage, screen: Screen, cast: Cast, ledger: Ledger) -> None:
    screen.step("People write; a program answers over HTTP")
    _hear(stage, screen, cast, ledger, ("Bea", "shop", "Do you deliver on Saturdays?"))
    _answer(stage, screen, cast, ledger, ("shop", "Bea", "We do, until noon."))
    _hear(stage, screen, cast, ledger, ("Caio", "home", "Dinner at eight?"))
    _answer(stage, screen, cast, ledger, ("home", "Caio", "I bring the wine."))


def _hear(
    stage: Stage, screen: Screen, cast: Cast, ledger: Ledger, line: tuple[str, str, str]
) -> None:
    """Let a contact write, and wait until Perene shows the message."""
    name, session, text = line
    contact = cast.contacts[name]
    begun = time.monotonic()
    form = {"to": cast.phones[session], "text": text}
    sent = stage.simulator.ask("POST", f"/admin/accounts/{contact}/send", form)
    ledger.write(Sent(session=session, contact=contact, id=sent["id"], text=text))

    def is_stored() -> bool:
        newest = stage.perene.ask("GET", f"/v1/sessions/{session}/messages?limit=1")["items"]
        return bool(newest) and newest[0]["id"] == sent["id"]

    until(is_stored, f"a message of {name}")
    screen.talk(name, session, text, f"decrypted and stored, {milliseconds(begun)}")


def _answer(
    stage: Stage, screen: Screen, cast: Cast, ledger: Ledger, line: tuple[str, str, str]
) -> None:
    """Send over the API, and wait until the contact has read the message."""
    session, name, text = line
    contact = cast.contacts[name]
    begun = time.monotonic()
    path = f"/v1/sessions/{session}/messages"
    sent = stage.perene.ask("POST", path, {"to": contact, "text": text})
    ledger.answer(Sent(session=session, contact=contact, id=sent["id"], text=text))

    def is_read() -> bool:
        inbox = stage.simulator.ask("GET", f"/admin/contacts/{contact}/inbox")["messages"]
        return any(one["id"] == sent["id"] for one in inbox)

    until(is_read, f"{name} to read the answer")
    screen.talk(session, name, text, f"encrypted and read, {milliseconds(begun)}")


# --- the crash --------------------------------------------------------------------------------


def _crash(stage: Stage, screen: Screen, cast: Cast, ledger: Ledger) -> None:
    burst = Burst(stage, ledger, phones=cast.phones, contacts=list(cast.contacts.values()))
    screen.step("kill -9 in the middle of a burst")
    with burst:
        screen.say(
            f"{len(cast.contacts)} people write {burst.inbound} messages; a program sends"
            f" {burst.outbound}, each with an Idempotency-Key"
        )
        burst.wait_for_written(burst.inbound // 3)
        pid = stage.service.kill()
        screen.say(f"kill -9 {pid}: Perene is gone after {burst.written} of {burst.inbound}")
        begun = time.monotonic()
        stage.restart()
        held = stage.simulator.ask("GET", "/admin/stats")["companion_stanzas"]["held"]
        screen.say(f"started again in {milliseconds(begun)}; the simulator holds {held} for it")
    screen.say(f"everything is sent; {burst.repeated} requests without an answer were repeated")


def _settle(stage: Stage, screen: Screen, cast: Cast, ledger: Ledger) -> bool:
    inbound: list[Count] = []
    outbound: list[Count] = []

    def all_right() -> bool:
        held = stage.simulator.ask("GET", "/admin/stats")["companion_stanzas"]["held"]
        inbound[:] = [ledger.stored(stage.perene, session) for session in SESSIONS]
        outbound[:] = [
            ledger.read(stage.simulator, session, cast.phones[session]) for session in SESSIONS
        ]
        return held == 0 and all(count.right for count in inbound + outbound)

    try:
        until(all_right, "every message", within_s=30)
    finally:
        screen.step("Count")
        for heads, counts in (("stored", inbound), ("read", outbound)):
            rows = [(c.name, c.sent, c.arrived, c.doubled, c.lost) for c in counts]
            screen.table(("", "sent", heads, "doubled", "lost"), rows)
    stats = stage.simulator.ask("GET", "/admin/stats")
    again, reused = stats["companion_stanzas"]["redelivered"], len(stats["reused_keys"])
    screen.say(f"{again} stanzas were delivered again and recognised; {reused} keys used twice")
    return reused == 0
