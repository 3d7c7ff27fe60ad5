"""WhatsApp's protobuf messages, generated from `wa.proto`; import `wa_pb2` from here."""
