"""Tag bytes of the binary node format, and the limits that decoder and encoder share.

Source: docs/reference/protocol.md §7.2; Baileys `lib/WABinary/constants.js` 7.0.0-rc14.
"""

from typing import Final

MAX_DEPTH: Final = 64
"""Real stanzas nest under a dozen; a level costs two Python frames, of which there are 1000."""

MAX_NODES: Final = 1 << 19
"""The largest real answer, all groups of an account with their participants, has some 100,000."""

MAX_INFLATED: Final = 1 << 24
"""As much as the largest frame could carry uncompressed."""

LIST_EMPTY: Final = 0
DICTIONARY_0: Final = 236
DICTIONARY_3: Final = 239
INTEROP_JID: Final = 245
FB_JID: Final = 246
AD_JID: Final = 247
LIST_8: Final = 248
LIST_16: Final = 249
JID_PAIR: Final = 250
HEX_8: Final = 251
BINARY_8: Final = 252
BINARY_20: Final = 253
BINARY_32: Final = 254
NIBBLE_8: Final = 255
