"""What can be wrong with bytes from the other side, one class per kind.

Messages name positions, tags and sizes, never contents: they may reach a log.
"""


class WireError(Exception):
    """Root of everything this package refuses."""


class JidError(WireError):
    """A text is not a JID. Fix the request, or ignore the stanza that held it."""


# Frames: the byte stream is out of step, so the connection must be closed.


class FrameError(WireError):
    """The byte stream cannot be cut into frames."""


class FrameTooLarge(FrameError):
    """A frame announces, or a payload has, more bytes than the limit."""


class BadIntro(FrameError):
    """The first bytes of a client are not an intro of this protocol version."""


class IntroTooLarge(FrameError):
    """The routing information announced before the intro exceeds the limit."""


# Nodes: one stanza is unusable; the connection may go on.


class NodeError(WireError):
    """A node cannot be decoded, encoded, or lacks what the reader needs."""


class TruncatedNode(NodeError):
    """The bytes end inside a node."""


class TrailingBytes(NodeError):
    """Bytes follow the node."""


class UnknownTag(NodeError):
    """A byte stands where no value can begin with it."""


class BadNode(NodeError):
    """A node has no tag, or a packed string or JID inside it makes no sense."""


class NodeTooLarge(NodeError):
    """A node is nested too deep, has too many children, or inflates to too many bytes."""


class BadCompression(NodeError):
    """The compressed part is not a whole zlib stream."""


class UnencodableNode(NodeError):
    """A node of ours holds something that the format cannot write. A bug of the caller."""


class MissingChild(NodeError):
    """A node lacks a child that its reader needs."""


class MissingAttribute(NodeError):
    """A node lacks an attribute that its reader needs."""


# Handshake: the connection must be closed; nothing was said about the account.


class HandshakeError(WireError):
    """The Noise handshake, or the transport after it, failed."""


class BadServerHello(HandshakeError):
    """The server's answer is not a handshake message with a server hello."""


class BadServerEphemeral(HandshakeError):
    """The server hello has no ephemeral key, or one that is not a key."""


class MissingServerStatic(HandshakeError):
    """The server hello has no encrypted static key."""


class MissingServerPayload(HandshakeError):
    """The server hello has no encrypted certificate chain."""


class ServerStaticUndecryptable(HandshakeError):
    """The server's static key does not decrypt."""


class BadServerStatic(HandshakeError):
    """The server's static key decrypts to something that is not a key."""


class ServerPayloadUndecryptable(HandshakeError):
    """The server's certificate chain does not decrypt."""


class BadClientHello(HandshakeError):
    """The client's first message is not a handshake message with a client hello."""


class BadClientEphemeral(HandshakeError):
    """The client hello has no ephemeral key, or one that is not a key."""


class BadClientFinish(HandshakeError):
    """The client's second message is not a handshake message with a client finish."""


class ClientStaticUndecryptable(HandshakeError):
    """The client's static key does not decrypt."""


class BadClientStatic(HandshakeError):
    """The client's static key decrypts to something that is not a key."""


class ClientPayloadUndecryptable(HandshakeError):
    """The client's payload does not decrypt."""


class OutOfTurn(HandshakeError):
    """A step of the handshake was asked for before the one it needs. A bug of the caller."""


class FrameUndecryptable(HandshakeError):
    """A frame of the transport does not decrypt: tampered, lost or out of order."""


class CounterExhausted(HandshakeError):
    """A direction has used its 2**32 nonces; reconnect."""


# Certificates: somebody other than WhatsApp answered, or a clock is wrong.


class CertificateError(HandshakeError):
    """The server's certificate chain does not prove that the server is genuine."""


class MalformedCertificate(CertificateError):
    """The chain does not parse, or a part is missing."""


class WrongCertificateLength(CertificateError):
    """A signature does not have 64 bytes, or a key 32."""


class BadIntermediateSignature(CertificateError):
    """The root key did not sign the intermediate certificate."""


class WrongRootSerial(CertificateError):
    """The intermediate certificate names an issuer other than the root."""


class BadLeafSignature(CertificateError):
    """The intermediate key did not sign the leaf certificate."""


class WrongLeafIssuer(CertificateError):
    """The leaf certificate names an issuer other than the intermediate certificate."""


class WrongLeafKey(CertificateError):
    """The leaf certificate is for a key other than the server's static key."""


class CertificateNotYetValid(CertificateError):
    """A certificate begins in the future. Check this machine's clock."""


class CertificateExpired(CertificateError):
    """A certificate ended in the past. Check this machine's clock."""
