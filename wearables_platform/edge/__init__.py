"""The device's side: filter, reduce, encode, spool, send until a receipt comes. Recordings, and a fleet with truth."""
