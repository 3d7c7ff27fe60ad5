"""Binary nodes: the compact form in which stanzas cross the wire.

A node is a list: tag, then names and values of attributes, then perhaps content. Every value begins
with a tag byte; words of the dictionary are one or two bytes, digits and hex digits are packed two
to a byte, addresses have forms of their own. One flag byte comes before the node; its second bit
says that the rest is a zlib stream. Sources: docs/reference/protocol.md §7.2; Baileys
`lib/WABinary/{encode,decode}.js` 7.0.0-rc14, whatsmeow `binary/{encoder,decoder}.go` (2026-08-21).

`tags` holds the limits that keep a few bytes from costing much memory or time.
"""

from perene.wire.decoder import decode
from perene.wire.encoder import encode

__all__ = ["decode", "encode"]
