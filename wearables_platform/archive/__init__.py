"""Everything that was accepted, raw, in MongoDB: one document per message, each Kafka position accounted for."""
