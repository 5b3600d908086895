"""What the two HTTP processes share: errors as problem documents, and gunicorn's lines in the structured log."""
