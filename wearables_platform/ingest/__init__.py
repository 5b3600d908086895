"""The HTTP way in: a message is answered 202 only after Kafka holds it with acks=all."""
