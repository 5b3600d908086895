"""A client of the query API: a DataFrame in one call, or the replies as the API defines them.

Needs requests and pydantic, and for tables pandas and pyarrow (`requirements/client.txt`); imports none of the
platform's drivers. See docs/client.md.
"""

from wearables_platform.client.errors import ApiProblem, ApiUnavailable
from wearables_platform.client.live import LiveEvent
from wearables_platform.client.tables import Client
from wearables_platform.client.typed import TypedClient

__all__ = ["ApiProblem", "ApiUnavailable", "Client", "LiveEvent", "TypedClient"]
