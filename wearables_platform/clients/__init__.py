"""One file per external system, its driver's only importer; driver errors become those of `errors.py` here."""
