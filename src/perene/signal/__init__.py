"""The Signal protocol on plain records: X3DH, double ratchet, sender keys."""
