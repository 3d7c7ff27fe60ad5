"""One live connection: handshake, pairing, receive, send, devices, pre-keys, retries."""
