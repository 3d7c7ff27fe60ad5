"""A Signal party made of Perene's own functions, which keeps its state as a store would."""

from dataclasses import dataclass, field

from perene.signal import (
    Decrypted,
    Encrypted,
    LocalIdentity,
    PreKey,
    PreKeyBundle,
    Ratchet,
    SignedPreKey,
    decrypt_message,
    decrypt_pre_key_message,
    encrypt,
    parse_pre_key_message,
    publish,
    start_outgoing,
)


@dataclass
class Party:
    """One device and its ratchet with the only peer it knows."""

    local: LocalIdentity = field(default_factory=LocalIdentity.generate)
    ratchet: Ratchet = Ratchet.empty
    signed: dict[int, SignedPreKey] = field(default_factory=dict[int, SignedPreKey])
    one_time: dict[int, PreKey] = field(default_factory=dict[int, PreKey])
    next_id: int = 1

    def bundle(self, *, one_time: bool = True) -> PreKeyBundle:
        """Publish fresh pre-keys."""
        signed = SignedPreKey.generate(self.next_id, self.local.key_pair)
        self.signed[signed.id] = signed
        single = PreKey.generate(self.next_id + 1) if one_time else None
        if single is not None:
            self.one_time[single.id] = single
        self.next_id += 2
        return publish(
            registration_id=self.local.registration_id,
            identity=self.local.key_pair.public,
            signed=signed,
            one_time=single,
        )

    def start(self, bundle: PreKeyBundle) -> None:
        """Begin a ratchet with the publisher of a bundle."""
        self.ratchet = start_outgoing(self.ratchet, bundle, self.local)

    def send(self, plaintext: bytes) -> Encrypted:
        """Encrypt and commit."""
        sent = encrypt(self.ratchet, plaintext, self.local)
        self.ratchet = sent.ratchet
        return sent

    def try_read(self, message: Encrypted, *, trusted: bytes | None = None) -> Decrypted:
        """Decrypt without committing."""
        if message.kind == "msg":
            return decrypt_message(self.ratchet, message.data, self.local)
        parsed = parse_pre_key_message(message.data)
        return decrypt_pre_key_message(
            self.ratchet,
            parsed,
            self.local,
            signed_pre_key=self.signed.get(parsed.signed_pre_key_id),
            pre_key=self.one_time.get(parsed.pre_key_id or 0),
            trusted_identity=trusted,
        )

    def read(self, message: Encrypted) -> bytes:
        """Decrypt and commit, the consumed pre-key included."""
        read = self.try_read(message)
        self.ratchet = read.ratchet
        if read.consumed_pre_key_id is not None:
            del self.one_time[read.consumed_pre_key_id]
        return read.plaintext

    def restart(self) -> None:
        """Lose everything but what is stored."""
        self.ratchet = Ratchet.parse(self.ratchet.serialize())


def acquainted() -> tuple[Party, Party]:
    """Return two parties who have both heard of each other, so that both send plain messages."""
    alice, bob = Party(), Party()
    alice.start(bob.bundle())
    bob.read(alice.send(b"hello"))
    alice.read(bob.send(b"hello, alice"))
    return alice, bob
