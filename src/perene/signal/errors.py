"""Every refusal of the Signal layer, one class per reaction.

Nothing that arrives from a peer makes this package raise anything else. On every error the values
given are unchanged: ratchets and sender keys are pure values, so there is nothing to roll back.
"""

from typing import ClassVar


class SignalError(Exception):
    """Root of every refusal; `code` is stable, and neither it nor the message holds secrets."""

    code: ClassVar[str] = "signal_error"


class DuplicateMessage(SignalError):
    """The message was decrypted before: answer it as received, ask for nothing.

    For a group message the signature was checked first. For a message between two parties the key
    is gone, so its MAC cannot be checked any more; what is known is that it names a ratchet key of
    this very peer and a counter that was used. Whoever could forge it (the server, which saw the
    ratchet key) could as well drop the message it stands for.
    """

    code = "duplicate_message"


class MessageKeyLost(SignalError):
    """The key of this message was dropped, or never derivable, and nothing says it was decrypted.

    The message precedes the sender key we were given, or its kept key was pushed out by newer
    ones. Ask the sender to encrypt it again.
    """

    code = "message_key_lost"


class NoRatchet(SignalError):
    """There is no ratchet with this peer: fetch a bundle to send, ask for a resend to receive."""

    code = "no_ratchet"


class NoSenderKey(SignalError):
    """The sender key that the message names was never received: ask for a resend with the key."""

    code = "no_sender_key"


class BadMac(SignalError):
    """No state that could have produced the message authenticates it: ask for a resend."""

    code = "bad_mac"


class InvalidMessage(SignalError):
    """The bytes are no message of this protocol."""

    code = "invalid_message"


class InvalidVersion(SignalError):
    """The message is of another protocol version than 3."""

    code = "invalid_version"


class InvalidKey(SignalError):
    """A public key has the wrong length or type, or yields no secret."""

    code = "invalid_key"


class InvalidSignature(SignalError):
    """A signature is not by the holder of the key that should have signed."""

    code = "invalid_signature"


class UnknownPreKey(SignalError):
    """The message was made with a one-time pre-key that we no longer (or never) had."""

    code = "unknown_pre_key"

    def __init__(self, key_id: int) -> None:
        super().__init__(f"one-time pre-key {key_id} is not available")
        self.key_id = key_id


class UnknownSignedPreKey(SignalError):
    """The message was made with a signed pre-key that we no longer (or never) had."""

    code = "unknown_signed_pre_key"

    def __init__(self, key_id: int) -> None:
        super().__init__(f"signed pre-key {key_id} is not available")
        self.key_id = key_id


class UntrustedIdentity(SignalError):
    """The peer presents another identity key than the trusted one.

    Raised before anything is authenticated: decide about `identity`, then decrypt again without
    `trusted_identity`; only a successful decrypt proves that the sender holds it.
    """

    code = "untrusted_identity"

    def __init__(self, identity: bytes) -> None:
        super().__init__("the peer's identity key differs from the trusted one")
        self.identity = identity


class TooFarAhead(SignalError):
    """The counter is more than 2000 ahead of the chain; deriving so many keys is refused."""

    code = "too_far_ahead"


class ChainExhausted(SignalError):
    """A sending chain has used every counter (2**32 - 1): start a new one."""

    code = "chain_exhausted"


class InvalidPadding(SignalError):
    """A decrypted plaintext does not end in its padding."""

    code = "invalid_padding"


class InvalidAddress(SignalError):
    """A text is not "name.device"."""

    code = "invalid_address"


class InvalidRecord(SignalError):
    """Stored bytes are no ratchet or sender key record: the row is damaged."""

    code = "invalid_record"


class NewerRecord(SignalError):
    """Stored bytes are of a newer format than this program reads: upgrade it, change nothing."""

    code = "newer_record"

    def __init__(self, version: int) -> None:
        super().__init__(f"the record has format {version}, which is newer than this program")
        self.version = version
