"""The ``wearables`` commands, one file each with ``register(app)``; thin: what they do lives elsewhere."""
