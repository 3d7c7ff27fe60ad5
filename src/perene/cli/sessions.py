"""The commands `perene session …`: a running service is asked over HTTP."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, cast
from urllib.parse import quote

from cyclopts import App, Parameter, validators

from perene.cli.confirming import confirmed
from perene.cli.exits import INTERRUPTED, REFUSED
from perene.cli.pairing import Pairing
from perene.cli.service import LOCAL, CannotAsk, JsonObject, Reach, Service, asking
from perene.cli.session_text import session_page, sessions_table, stale_line, text
from perene.cli.turning import WAIT_S, Action, Turning
from perene.core.ids import SESSION_ID
from perene.core.phone_numbers import phone_number

app = App(name="session", help="See and drive the sessions of a running service.")

_OUTAGES = "10"

AsJson = Annotated[bool, Parameter(name="--json", negative=())]
_DAY_S = 86_400
"""A longer wait than a socket can be told would end in a traceback, as `inf` did."""
Wait = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=_DAY_S))]


@app.command(name="list")
def list_sessions(*, raw: AsJson = False, reach: Reach = LOCAL) -> int:
    """List every session: its state, since when, and what it waits for.

    Parameters
    ----------
    raw
        Print what the service answered, as JSON.
    """

    def ask(service: Service) -> None:
        answer = service.get("/v1/sessions")
        sessions = cast("list[JsonObject]", answer["items"])
        if raw:
            _print_json(answer)
        elif sessions:
            print(sessions_table(sessions, datetime.now(UTC)))
            if stale := stale_line(min(sessions, key=lambda one: text(one, "as_of"))):
                print(f"\n{stale}")
        else:
            print("There are no sessions yet; `perene session pair ID` makes one.")

    return asking(reach, ask)


@app.command
def show(session: str, /, *, raw: AsJson = False, reach: Reach = LOCAL) -> int:
    """Show all that is known of a session, of its account, and its last outages.

    Parameters
    ----------
    session
        Id of the session.
    raw
        Print what the service answered, as JSON, the outages and the account as members of the
        session; null while they cannot be read.
    """

    def ask(service: Service) -> None:
        found = service.get(path(session))
        # What is shown from memory, as the database is away, is without what is stored only.
        stored = found.get("as_of") is None
        outages = service.get(path(session, "outages"), limit=_OUTAGES)["items"] if stored else None
        account = service.get(path(session, "account")) if stored else None
        if raw:
            _print_json({**found, "outages": outages, "account": account})
        else:
            listed = cast("list[JsonObject]", outages or [])
            print(session_page(found, listed, account or {}, datetime.now(UTC)))

    return asking(reach, ask)


@app.command
def start(session: str, /, *, wait: Wait = WAIT_S, reach: Reach = LOCAL) -> int:
    """Want a session running; it stays so over restarts of the service.

    The exit status is 1 if it is neither open nor offers a code to scan after the wait.

    Parameters
    ----------
    session
        Id of the session.
    wait
        Seconds to wait for it; 0 only asks for it.
    """
    return _turn(reach, session, "start", wait)


@app.command
def stop(session: str, /, *, wait: Wait = WAIT_S, reach: Reach = LOCAL) -> int:
    """Want a session stopped; its credentials are kept.

    The exit status is 1 if its connection is not closed after the wait.

    Parameters
    ----------
    session
        Id of the session.
    wait
        Seconds to wait for it; 0 only asks for it.
    """
    return _turn(reach, session, "stop", wait)


@app.command
def restart(session: str, /, *, wait: Wait = WAIT_S, reach: Reach = LOCAL) -> int:
    """Connect a session anew at once: counts and waits are forgotten, credentials are kept.

    Only the end of a ban is waited for all the same.

    The exit status is 1 if it is neither open anew nor offers a code to scan after the wait.

    Parameters
    ----------
    session
        Id of the session.
    wait
        Seconds to wait for it; 0 only asks for it.
    """
    return _turn(reach, session, "restart", wait)


@app.command
def logout(
    session: str,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=())] = False,
    wait: Wait = WAIT_S,
    reach: Reach = LOCAL,
) -> int:
    """Unlink a session, destroy its credentials, and stop it; messages are kept.

    A session that is not connected connects once to tell WhatsApp. If that fails, it stays in the
    phone's list of linked devices, and that is told; remove it there. The exit status is 1 if it is
    not logged out after the wait.

    Parameters
    ----------
    session
        Id of the session.
    yes
        Do not ask for a confirmation.
    wait
        Seconds to wait for it; 0 only asks for it.
    """
    refused = yes or confirmed(
        f"Destroy the credentials of {session}? It must be paired anew then. [y/N] ",
        "Logging out destroys the credentials.",
    )
    if refused is not True:
        return refused
    return _turn(reach, session, "logout", wait)


@app.command
def pair(
    session: str,
    /,
    *,
    phone: str | None = None,
    name: str | None = None,
    reach: Reach = LOCAL,
) -> int:
    """Link a session to a phone, making and starting the session if need be.

    The QR code is drawn in the terminal, and drawn again until it has been scanned.

    Parameters
    ----------
    session
        Id of the session.
    phone
        Number of the phone, digits with country code; shows a code to type there instead.
    name
        A name for people, if the session is made now.
    """

    def ask(service: Service) -> int:
        pairing = Pairing(service, session, path(session))
        number = None if phone is None else _phone_number(phone)
        try:
            pairing.prepare(name)
            return pairing.by_code(number) if number else pairing.by_qr()
        except KeyboardInterrupt:
            print(f"\nNot linked yet. `perene session stop {session}` ends the waiting.")
            return INTERRUPTED

    return asking(reach, ask)


def path(session: str, *rest: str) -> str:
    """Return the path of a session, or of something of it; CannotAsk for what is no id."""
    if not re.fullmatch(SESSION_ID, session):
        raise CannotAsk(
            f'"{session}" is not the id of a session.',
            "An id has up to 64 of a-z, 0-9, _ and -, and begins with a letter or a digit.",
            status=REFUSED,
        )
    return "/".join(("/v1/sessions", quote(session, safe=""), *rest))


def _phone_number(text: str) -> str:
    try:
        return phone_number(re.sub(r"[\s().-]", "", text))
    except ValueError as error:
        raise CannotAsk(
            f'"{text}" is {error}.', "As in --phone 5511999990000.", status=REFUSED
        ) from error


def _turn(reach: Reach, session: str, action: Action, wait_s: float) -> int:
    def ask(service: Service) -> int:
        return Turning(service, path(session), action, wait_s=wait_s).run()

    return asking(reach, ask)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
