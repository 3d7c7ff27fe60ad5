"""Why a server could not be reached: the errors of a dial, told apart."""

import errno
import re
import socket
import ssl
from http import HTTPStatus

from websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
)

from perene.core.causes import Ending, Kind, Local
from perene.engine.errors import ConnectionEnded

_NO_ANSWER = frozenset({errno.ETIMEDOUT})
_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})
_REFUSED = frozenset({errno.ECONNREFUSED})


def unreachable(error: Exception, *, proxied: bool) -> ConnectionEnded:
    """Return the ending that an error of a dial stands for.

    `proxied` says that the other side of the socket was a proxy. The sentences hold no address:
    that of a proxy may carry its password.
    """
    code, sentence, status = _read(error, proxied=proxied)
    attributes = {} if status is None else {"status": str(status)}
    return ConnectionEnded(
        Ending(kind=Kind.LOCAL, code=code, sentence=sentence, attributes=attributes)
    )


def _read(error: Exception, *, proxied: bool) -> tuple[Local, str, int | None]:
    match error:
        case InvalidStatus():
            return _of_status(error.response.status_code)
        case InvalidProxyStatus():
            status = error.response.status_code
            return Local.PROXY, f"The proxy answered with HTTP status {status}.", status
        case InvalidProxy():
            return Local.PROXY, "The proxy's address cannot be used.", None
        case ProxyError():
            return Local.PROXY, "The proxy did not answer as a proxy does.", None
        case InvalidMessage():
            if isinstance(error.__cause__, EOFError):
                return Local.UNREACHABLE, "The server hung up before it answered.", None
            return Local.UNREACHABLE, "What answered does not speak HTTP/1.1.", None
        case InvalidHandshake():
            return Local.UNREACHABLE, "What answered does not speak WebSocket.", None
        case socket.gaierror() | UnicodeError():  # the latter for what can be no name
            return _without_address(error, proxied=proxied)
        case ssl.SSLError():
            return Local.TLS, f"The TLS connection was not made ({_tls_reason(error)}).", None
        case TimeoutError():
            return Local.CONNECT_TIMEOUT, "The server did not answer in time.", None
        case OSError():
            return _of_socket(error, proxied=proxied)
        case _:
            reason = type(error).__name__
            return Local.UNREACHABLE, f"The server could not be reached ({reason}).", None


def _of_status(status: int) -> tuple[Local, str, int | None]:
    """Read what came in place of an upgrade.

    A chat server refuses by 4xx or 5xx. A page, a redirect, or 511 "Network Authentication
    Required" (RFC 6585 §6) comes from a captive portal, or a filter on the way.
    """
    if status // 100 in (2, 3) or status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
        sentence = f"Something on the way answered in the server's place (HTTP status {status})."
        return Local.INTERCEPTED, sentence, status
    return Local.HTTP_REFUSED, f"The server answered with HTTP status {status}.", status


def _without_address(error: Exception, *, proxied: bool) -> tuple[Local, str, int | None]:
    side, code = ("proxy", Local.PROXY) if proxied else ("server", Local.DNS)
    reason = " at the moment" if _is_passing(error) else ""
    return code, f"The {side}'s name has no address{reason}.", None


def _is_passing(error: Exception) -> bool:
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN


def _of_socket(error: OSError, *, proxied: bool) -> tuple[Local, str, int | None]:
    numbers = _numbers(error)
    side = "proxy" if proxied else "server"
    if isinstance(error, ConnectionAbortedError) and not numbers:  # asyncio's word for it
        sentence = "The connection was taken, but the TLS handshake got no further."
        return Local.CONNECT_TIMEOUT, sentence, None
    if numbers & _NONE_LEFT:
        names = ", ".join(sorted(errno.errorcode[number] for number in numbers & _NONE_LEFT))
        return Local.OPEN_FILES, f"The machine gave no socket for it ({names}).", None
    if numbers & _REFUSED:
        code = Local.PROXY if proxied else Local.REFUSED
        return code, f"Nobody listens at the {side}'s address.", None
    if numbers & _NO_ANSWER:
        return Local.CONNECT_TIMEOUT, f"The {side} did not answer in time.", None
    reason = ", ".join(sorted(errno.errorcode.get(number, str(number)) for number in numbers))
    return (
        Local.UNREACHABLE,
        f"The {side} could not be reached ({reason or type(error).__name__}).",
        None,
    )


def _numbers(error: OSError) -> frozenset[int]:
    """Return the error's number, or those of all addresses that a name has.

    asyncio joins the latter into one text, before Python 3.12 without any other way to see them.
    """
    if error.errno is not None:
        return frozenset({error.errno})
    return frozenset(int(number) for number in re.findall(r"\[Errno (\d{1,5})\]", str(error)))


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason.lower().replace("_", " ") if error.reason else "no reason given"
