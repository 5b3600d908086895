"""Where data come in: topics of the log and collections of the archive, observed and not made here."""
