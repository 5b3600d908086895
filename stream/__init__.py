"""The live path: Kafka > decode > dedupe > reorder > windows > features > anomalies > score > Redis, SQL and Kafka.

Bytewax runs it; the maths is in `wearables_platform.signals`. One source partition is one log partition, and all state
lives with it: a snapshot is the next offset and that state, so both always agree.
"""
