"""MQTT to Kafka: what a device published is acknowledged once Kafka has it, and confirmed by a receipt."""
