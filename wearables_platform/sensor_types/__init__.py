"""The sensor types that come with the platform: a folder each, with the ``defs.yaml`` that declares it."""
