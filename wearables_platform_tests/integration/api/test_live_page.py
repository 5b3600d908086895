"""The live page in a real Chromium: it moves, it says what is stale, it survives the API."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from wearables_platform.clients.redis import LatestWriter
from wearables_platform_tests.api_process import ApiProcess, Fleet
from wearables_platform_tests.api_world import TOKEN, World

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser, pytest.mark.sql, pytest.mark.redis, pytest.mark.integration, pytest.mark.timeout(180),
]  # fmt: skip

NOW_VM = "document.querySelector('[data-field=vm_g]').textContent"
# Reads what the reader sees, not what the script holds: the pixels of the trace.
TRACE_PIXELS = "document.getElementById('trace').toDataURL()"
DRAWN = """() => {
    const canvas = document.getElementById("trace");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value) => value > 0);
}"""


def _open(page: Page, api: ApiProcess) -> None:
    page.goto(f"{api.url}/#token={TOKEN}")
    page.wait_for_selector("tr[data-device=ada-watch]")


def _wait_for_change(page: Page, expression: str) -> None:
    before = page.evaluate(expression)
    page.wait_for_function(f"before => ({expression}) !== before", arg=before)


def test_the_page_moves_and_the_token_leaves_the_address(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    _open(page, api)
    assert page.url == f"{api.url}/"
    assert page.locator("#devices tbody tr[data-device]").count() == 4
    _wait_for_change(page, "document.querySelector('tr[data-device=ben-watch] td:nth-child(5)').textContent")
    page.click("text=ben-watch")
    page.wait_for_selector("#view-device:not([hidden]) h2:text-is('ben-watch')")
    page.wait_for_function(DRAWN)
    for expression in (TRACE_PIXELS, NOW_VM):
        _wait_for_change(page, expression)
        _wait_for_change(page, expression)
    assert page.locator("#connection-text").text_content() == "live"


def test_a_device_has_an_address_of_its_own(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    page.goto(f"{api.url}/#token={TOKEN}&view=/device/ada-watch")
    page.wait_for_selector("#view-device:not([hidden]) h2:text-is('ada-watch')")
    assert page.url == f"{api.url}/#/device/ada-watch"
    _wait_for_change(page, NOW_VM)
    page.click("#device-person")
    page.wait_for_selector("#participant-days tr")
    assert page.url == f"{api.url}/#/participant/ada"
    page.go_back()
    page.wait_for_selector("#view-device:not([hidden])")
    page.click("text=Platform")
    page.wait_for_selector("#view-platform:not([hidden])")


def test_what_is_stale_is_shown_as_stale(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    _open(page, api)
    row = page.locator("tr[data-device=gone-watch]")
    assert row.get_attribute("data-freshness") == "silent"
    assert "60 min ago" in (row.text_content() or "")
    assert page.locator("tr[data-device=ada-watch]").get_attribute("data-freshness") == "live"
    page.click("text=ada-watch")
    fleet.stopping.set()
    page.wait_for_selector("#view-device[data-freshness=silent]", timeout=30_000)
    assert "silent: nothing for" in (page.locator("#device-state").text_content() or "")
    page.keyboard.press("Escape")
    page.wait_for_selector("tr[data-device=ada-watch][data-freshness=silent]")
    assert page.locator("#figure-live").text_content() == "0"


def test_a_device_that_never_sent_is_shown(page: Page, api: ApiProcess, fleet: Fleet, world: World) -> None:
    world.person("new", "sleep")
    _open(page, api)
    page.wait_for_selector("tr[data-device=new-watch][data-freshness=never]")
    page.wait_for_function("() => document.getElementById('figure-never').textContent === '1'")


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_the_page_survives_a_restart_of_the_api(page: Page, api: ApiProcess, fleet: Fleet, with_signal: int) -> None:
    page.goto(f"{api.url}/#token={TOKEN}&view=/device/ada-watch")
    page.wait_for_selector("body[data-connection=live]")
    api.stop(with_signal=with_signal)
    page.wait_for_selector("body[data-connection=lost]")
    assert "reconnecting, values as of" in (page.locator("#connection-text").text_content() or "")
    api.start()
    page.wait_for_selector("body[data-connection=live]")
    _wait_for_change(page, NOW_VM)
    _wait_for_change(page, TRACE_PIXELS)
    page.keyboard.press("Escape")
    page.wait_for_selector("tr[data-device=ada-watch]")
    assert page.locator("#devices tbody tr[data-device]").count() == 4


def test_a_wrong_token_is_asked_for_again_and_the_right_one_lets_in(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    page.goto(f"{api.url}/#token=wrong")
    page.wait_for_selector("#sign-in:not([hidden])")
    assert page.get_by_role("alert").text_content() == "This token is not known."
    assert page.locator("#main").is_hidden()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#devices tbody tr[data-device]")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#sign-in:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0


def test_an_event_of_a_rule_is_shown_while_it_goes_on_and_once_it_is_over(
    page: Page, api: ApiProcess, fleet: Fleet, live: LatestWriter
) -> None:
    _open(page, api)
    begin_us = int(time.time() * 1e6) // 60_000_000 * 60_000_000
    event = {"device_id": "ada-watch", "kind": "high_heart_rate_at_rest", "start_us": begin_us, "severity": "warning"}
    event |= {"extreme_value": 112.5, "extreme_unit": "/min"}
    live.add_anomalies({"e": {**event, "end_us": begin_us + 60_000_000, "duration_ms": 60e3, "provisional": True}})
    item = page.locator("#events li", has_text="high_heart_rate_at_rest")
    item.filter(has_text="going on").wait_for()
    live.add_anomalies(
        {"e:over": {**event, "end_us": begin_us + 180_000_000, "duration_ms": 180e3, "provisional": False}}
    )
    item.filter(has_text=" to ").wait_for()
    assert item.count() == 1
    assert item.get_attribute("data-severity") == "warning"
    assert item.locator(".peak").text_content() == "112.5 /min, warning"


def test_text_from_outside_stays_text(page: Page, api: ApiProcess, fleet: Fleet, live: LatestWriter) -> None:
    _open(page, api)
    kind = "<img src=x onerror=document.title='run'>"
    now_us = int(time.time() * 1e6)
    live.add_anomalies({"e": {"device_id": "ada-watch", "kind": kind, "start_us": now_us, "peak_g": 8.25}})
    page.wait_for_selector("#events li")
    assert page.locator("#events .tag").text_content() == kind
    assert page.locator("#events img, #devices tbody img").count() == 0
    assert page.title() == "Wearables: fleet"
