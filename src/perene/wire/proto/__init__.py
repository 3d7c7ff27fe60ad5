"""WhatsApp's protobuf messages, generated from `wa.proto`: `from perene.wire.proto import wa_pb2`."""
