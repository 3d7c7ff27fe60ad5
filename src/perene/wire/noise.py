"""The Noise handshake, XX pattern, and the encrypted transport that follows it.

Sans-I/O, client and server: each step takes and returns the payload of one frame. Order of a
client: send `hello()`, then `finish(answer, payload)`, then use `transport`; of a server:
`receive_hello`, send the answer, `receive_finish`, then `transport`. A step that raises ends the
connection. Sources: docs/reference/protocol.md §1.2; the Noise specification revision 34, §5;
whatsmeow `handshake.go`, `socket/noisehandshake.go`, `socket/noisesocket.go` (2026-08-21).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.message import DecodeError

from perene.crypto import (
    AuthenticationFailed,
    BadKey,
    KeyPair,
    gcm_decrypt,
    gcm_encrypt,
    hkdf,
)
from perene.wire.certificates import verify_chain
from perene.wire.errors import (
    BadClientEphemeral,
    BadClientFinish,
    BadClientHello,
    BadClientStatic,
    BadServerEphemeral,
    BadServerHello,
    BadServerStatic,
    ClientPayloadUndecryptable,
    ClientStaticUndecryptable,
    CounterExhausted,
    FrameUndecryptable,
    HandshakeError,
    MissingServerPayload,
    MissingServerStatic,
    OutOfTurn,
    ServerPayloadUndecryptable,
    ServerStaticUndecryptable,
)
from perene.wire.frames import PROLOGUE
from perene.wire.proto.wa_pb2 import HandshakeMessage

_PATTERN = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
_KEY_SIZE = 32
MAX_COUNTER: Final = (1 << 32) - 1
"""Nonces are 32-bit counters; using one twice would give the plaintexts away."""


class NoiseTransport:
    """Encrypts and decrypts frames after the handshake, each direction under its own key.

    Order matters: every ciphertext must be decrypted once, in the order it was made. Both
    directions have carried `counter` frames already: none after a handshake.
    """

    __slots__ = ("_read_counter", "_read_key", "_write_counter", "_write_key")

    def __init__(self, *, write_key: bytes, read_key: bytes, counter: int = 0) -> None:
        self._write_key = write_key
        self._read_key = read_key
        self._write_counter = counter
        self._read_counter = counter

    def encrypt(self, plaintext: bytes) -> bytes:
        """Seal the next frame to send, 16 bytes longer; raises CounterExhausted."""
        nonce = _nonce(self._write_counter)
        self._write_counter += 1
        return gcm_encrypt(self._write_key, nonce, plaintext)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Open the next frame received; raises FrameUndecryptable or CounterExhausted."""
        nonce = _nonce(self._read_counter)
        try:
            plaintext = gcm_decrypt(self._read_key, nonce, ciphertext)
        except AuthenticationFailed as error:
            raise FrameUndecryptable(f"frame {self._read_counter} does not decrypt") from error
        self._read_counter += 1
        return plaintext


class ClientHandshake:
    """One client's handshake; it trusts servers certified under `root_key` at the time `now`."""

    def __init__(
        self, *, static: KeyPair, root_key: bytes, now: datetime, ephemeral: KeyPair | None = None
    ) -> None:
        """Begin with the device's long-lived Noise key; the ephemeral key is made fresh."""
        self._static = static
        self._root_key = root_key
        self._now = now
        self._ephemeral = ephemeral or KeyPair.generate()
        self._state = _Symmetric()
        self._state.mix_hash(self._ephemeral.public)
        self._transport: NoiseTransport | None = None

    def hello(self) -> bytes:
        """Return the first message, to send after the intro."""
        hello = HandshakeMessage.ClientHello(ephemeral=self._ephemeral.public)
        return HandshakeMessage(clientHello=hello).SerializeToString()

    def finish(self, server_hello: bytes, payload: bytes) -> bytes:
        """Check the server's answer and return the last message, carrying `payload` to it.

        Raises a leaf of HandshakeError, or of CertificateError when the server is not genuine;
        `payload` has not been sent then.
        """
        answer = _parse(server_hello, "serverHello", BadServerHello).serverHello
        if not answer.HasField("static"):
            raise MissingServerStatic("the server hello has no static key")
        if not answer.HasField("payload"):
            raise MissingServerPayload("the server hello has no certificate chain")
        state = self._state
        state.mix_ephemeral(answer.ephemeral, BadServerEphemeral)
        state.mix_secret(self._ephemeral, answer.ephemeral, BadServerEphemeral)
        server_static = state.open(answer.static, ServerStaticUndecryptable)
        state.mix_secret(self._ephemeral, server_static, BadServerStatic)
        chain = state.open(answer.payload, ServerPayloadUndecryptable)
        verify_chain(chain, root_key=self._root_key, server_static=server_static, now=self._now)
        static = state.seal(self._static.public)
        state.mix_secret(self._static, answer.ephemeral, BadServerEphemeral)
        sealed = state.seal(payload)
        write_key, read_key = state.split()
        self._transport = NoiseTransport(write_key=write_key, read_key=read_key)
        finish = HandshakeMessage.ClientFinish(static=static, payload=sealed)
        return HandshakeMessage(clientFinish=finish).SerializeToString()

    @property
    def transport(self) -> NoiseTransport:
        """The transport; raises OutOfTurn before `finish`."""
        return _ready(self._transport)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFinish:
    """What a client proved and said: its static public key (32 bytes), its payload."""

    client_static: bytes
    payload: bytes


class ServerHandshake:
    """One server's side of the handshake, with the chain that `issue_chain` made for its key."""

    def __init__(
        self, *, static: KeyPair, certificate_chain: bytes, ephemeral: KeyPair | None = None
    ) -> None:
        """Begin with the server's certified key; the ephemeral key is made fresh."""
        self._static = static
        self._chain = certificate_chain
        self._ephemeral = ephemeral or KeyPair.generate()
        self._state = _Symmetric()
        self._greeted = False
        self._transport: NoiseTransport | None = None

    def receive_hello(self, client_hello: bytes) -> bytes:
        """Take the client's first message and return the answer to it.

        Raises BadClientHello or BadClientEphemeral.
        """
        hello = _parse(client_hello, "clientHello", BadClientHello).clientHello
        state = self._state
        state.mix_ephemeral(hello.ephemeral, BadClientEphemeral)
        state.mix_hash(self._ephemeral.public)
        state.mix_secret(self._ephemeral, hello.ephemeral, BadClientEphemeral)
        static = state.seal(self._static.public)
        state.mix_secret(self._static, hello.ephemeral, BadClientEphemeral)
        payload = state.seal(self._chain)
        self._greeted = True
        answer = HandshakeMessage.ServerHello(
            ephemeral=self._ephemeral.public, static=static, payload=payload
        )
        return HandshakeMessage(serverHello=answer).SerializeToString()

    def receive_finish(self, client_finish: bytes) -> ClientFinish:
        """Take the client's last message.

        Raises BadClientFinish, ClientStaticUndecryptable, BadClientStatic,
        ClientPayloadUndecryptable, or OutOfTurn before `receive_hello`.
        """
        if not self._greeted:
            raise OutOfTurn("the client hello comes before the client finish")
        finish = _parse(client_finish, "clientFinish", BadClientFinish).clientFinish
        state = self._state
        client_static = state.open(finish.static, ClientStaticUndecryptable)
        state.mix_secret(self._ephemeral, client_static, BadClientStatic)
        payload = state.open(finish.payload, ClientPayloadUndecryptable)
        read_key, write_key = state.split()
        self._transport = NoiseTransport(write_key=write_key, read_key=read_key)
        return ClientFinish(client_static=client_static, payload=payload)

    @property
    def transport(self) -> NoiseTransport:
        """The transport; raises OutOfTurn before `receive_finish`."""
        return _ready(self._transport)


class _Symmetric:
    """Noise's SymmetricState: chaining key, handshake hash, cipher key and its counter."""

    __slots__ = ("_chaining_key", "_counter", "_hash", "_key")

    def __init__(self) -> None:
        # The protocol's name has exactly 32 bytes, so it is used as it is, not hashed.
        self._hash = self._chaining_key = self._key = _PATTERN
        self._counter = 0
        self.mix_hash(PROLOGUE)

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_ephemeral(self, public: bytes, wrong: type[HandshakeError]) -> None:
        if len(public) != _KEY_SIZE:
            raise wrong(f"an ephemeral key has 32 bytes, not {len(public)}")
        self.mix_hash(public)

    def mix_secret(self, own: KeyPair, peer: bytes, wrong: type[HandshakeError]) -> None:
        try:
            secret = own.agree(peer)
        except BadKey as error:
            raise wrong("a key yields no shared secret") from error
        derived = hkdf(secret, salt=self._chaining_key, length=64)
        self._chaining_key, self._key = derived[:32], derived[32:]
        self._counter = 0

    def seal(self, plaintext: bytes) -> bytes:
        ciphertext = gcm_encrypt(self._key, _nonce(self._counter), plaintext, self._hash)
        self._counter += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def open(self, ciphertext: bytes, wrong: type[HandshakeError]) -> bytes:
        try:
            plaintext = gcm_decrypt(self._key, _nonce(self._counter), ciphertext, self._hash)
        except AuthenticationFailed as error:
            raise wrong("a part of a handshake message does not decrypt") from error
        self._counter += 1
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys of the directions client to server, server to client."""
        derived = hkdf(b"", salt=self._chaining_key, length=64)
        return derived[:32], derived[32:]


def _nonce(counter: int) -> bytes:
    if counter > MAX_COUNTER:
        raise CounterExhausted("a direction has used all its nonces")
    return counter.to_bytes(12)


def _parse(data: bytes, part: str, wrong: type[HandshakeError]) -> HandshakeMessage:
    try:
        message = HandshakeMessage.FromString(data)
    except DecodeError as error:
        raise wrong("a handshake message does not parse") from error
    if part not in {field.name for field, _ in message.ListFields()}:
        raise wrong(f"a handshake message has no {part}")
    return message


def _ready(transport: NoiseTransport | None) -> NoiseTransport:
    if transport is None:
        raise OutOfTurn("the handshake is not finished")
    return transport
