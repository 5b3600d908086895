"""Imported by the server that stream processes are forked from: what is compiled is loaded once, not at every start."""

from __future__ import annotations

from stream.imports import leave_pandas_out
from stream.warm import warm

leave_pandas_out()
warm()
