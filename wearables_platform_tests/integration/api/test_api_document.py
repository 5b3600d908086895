"""The OpenAPI document is valid, complete and served without anything from elsewhere."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import validate

from wearables_platform_tests.api_world import Caller

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]


def test_the_document_is_valid_and_describes_every_route(caller: Caller) -> None:
    document = caller.client.get("/openapi/openapi.json").json
    assert document is not None
    validate(document)
    rules = {rule.rule for rule in caller.client.application.url_map.iter_rules() if rule.rule.startswith("/v1/")}
    assert {re.sub(r"<(\w+)>", r"{\1}", rule) for rule in rules} == set(document["paths"])


def test_every_operation_says_what_it_answers_what_it_needs_and_how_it_fails(caller: Caller) -> None:
    document = caller.client.get("/openapi/openapi.json").json
    assert document is not None
    for path, item in document["paths"].items():
        operation = item["get"]
        assert operation["summary"], path
        assert operation["security"] == [{"token": []}], path
        assert {"200", "400", "401", "404", "503"} <= set(operation["responses"]), path
        assert set(operation["responses"]["400"]["content"]) == {"application/problem+json"}, path
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])


def test_the_document_and_the_pages_load_nothing_from_elsewhere(caller: Caller) -> None:
    for path in ("/openapi/swagger", "/"):
        text = caller.client.get(path).text
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
        assert loaded
        assert not [address for address in loaded if "//" in address], path
        for address in loaded:
            address = address if address.startswith("/") else f"{path.rsplit('/', 1)[0]}/{address}"
            assert caller.client.get(address).status_code == 200, address


def test_the_page_may_run_only_its_own_scripts(caller: Caller) -> None:
    policy = caller.client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
