"""Requests made up from the OpenAPI document: every answer is one it describes, and no failure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from wearables_platform_tests.api_world import TOKEN, Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

EXAMPLES = 15  # of each operation
AT = datetime(2026, 3, 30, 9, tzinfo=UTC)
# That wrong requests are refused is said by test_api_refusals: some that are made up wrong arrive right, such as a
# parameter that is an empty list.
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture
def described(caller: Caller, world: World) -> Any:
    """The document of an API that has a row of every kind; paths name what is there, so that answers have a body."""
    world.study("sleep")
    device_id = world.person("one", "sleep")
    world.day("one", date(2026, 3, 30), 100, zone="UTC")
    world.activity("one", date(2026, 3, 30), mvpa_s=60, steps=100)
    world.segment("one", AT, "walking")
    world.unusual("one", AT)
    world.heart_rates(device_id, [(AT, 60.0)])
    world.windows(device_id, AT, 5)
    world.hour(device_id, AT, 5)
    world.anomaly(device_id, "spike", AT, AT)
    world.gap(device_id, AT)
    schema = schemathesis.openapi.from_wsgi("/openapi/openapi.json", caller.client.application)
    return schema.exclude(path="/v1/live/stream")  # it does not end


THERE = {"device_id": "one-watch", "participant_id": "one"}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_every_answer_is_one_the_document_describes(described: Any, mode: GenerationMode) -> None:
    asked = [asked_as_described(found.ok(), mode) for found in described.get_all_operations()]
    assert sum(asked) >= 10


def asked_as_described(operation: Any, mode: GenerationMode) -> bool:
    """Ask one operation; false where there is nothing to ask wrongly."""
    if mode.is_negative and not (operation.path_parameters or operation.query):
        return False

    @hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=list(hypothesis.HealthCheck), database=None)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if mode.is_positive:
            case.path_parameters = {name: THERE[name] for name in case.path_parameters or {}}
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {TOKEN}"})

    ask()
    return True
