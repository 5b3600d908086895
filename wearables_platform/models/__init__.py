"""Models: trained from the lake, judged by person, gated, published, scored the same in stream and batch.

No Dagster inside: everything here is plain functions over arrays, bytes and clients. `assets/ml/` wires them up.
"""
