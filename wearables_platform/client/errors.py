"""What a call can end in.

::

    WearablesError
    ├── ApiProblem        (TerminalError)   the API understood and said no: a problem document
    └── ApiUnavailable    (TransientError)  no answer, or "not now", however often it was asked
"""

from __future__ import annotations

from typing import Any

from wearables_platform.errors import TerminalError, TransientError


class ApiProblem(TerminalError):
    """The API refused. `request_id` is what its operator finds the request by; `parameters` are those at fault."""

    def __init__(self, status: int, problem: dict[str, Any], request_id: str) -> None:
        self.status = status
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.detail = str(problem.get("detail", ""))
        self.request_id = request_id
        self.parameters: dict[str, str] = {one["name"]: one["detail"] for one in problem.get("parameters", [])}
        super().__init__(f"{status} {self.kind}: {self.detail} (request {request_id})")


class ApiUnavailable(TransientError):
    """The API did not answer, answered that it cannot now, or broke off; `request_id` where there is one."""

    def __init__(self, detail: str, request_id: str = "") -> None:
        self.request_id = request_id
        super().__init__(f"{detail} (request {request_id})" if request_id else detail)
