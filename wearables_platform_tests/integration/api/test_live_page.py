"""The live page in a real Chromium: it moves, it says what is stale, it survives the API."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.local.ports import free_ports
from wearables_platform_tests.api_process import ApiProcess, Fleet
from wearables_platform_tests.api_world import TOKEN, World
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.browser, pytest.mark.sql, pytest.mark.redis, pytest.mark.integration, pytest.mark.timeout(180),
]  # fmt: skip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these Chromium looks for its maker's hosts, which a test machine need not reach; root has no sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
# Reads what the reader sees, not what the script holds: the pixels of the trace.
TRACE_PIXELS = "document.getElementById('trace').toDataURL()"
DRAWN = """() => {
    const canvas = document.getElementById("trace");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value) => value > 0);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a reader; whatever its scripts complain of fails the test, a lost connection excepted."""
    complaints: list[str] = []
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert [text for text in complaints if "Failed to load resource" not in text and "net::ERR" not in text] == []


@pytest.fixture(scope="module")
def api(api_sql_url: str, live_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One process for all pages; its stores are emptied under it between tests."""
    process = ApiProcess(api_sql_url, live_address, free_ports(1)[0], tmp_path_factory.mktemp("api"))
    process.start()
    yield process
    process.close()


@pytest.fixture
def fleet(world: World, live: LatestWriter) -> Iterator[Fleet]:
    """Three devices that send and one that stopped an hour ago."""
    world.study("sleep")
    names = [world.person(name, "sleep") for name in ("ada", "ben", "cleo")]
    gone_us = int(time.time() * 1e6) - 3_600_000_000
    fields = {"time_us": gone_us, "append_us": gone_us, "sequence": 1, "vm_g": 1.25}
    write_updates(live, [LatestUpdate(world.person("gone", "sleep"), "motion", gone_us, 1, fields)])
    sending = Fleet(live, names)
    thread = threading.Thread(target=sending.run)
    thread.start()
    yield sending
    sending.stopping.set()
    thread.join()


def _open(page: Page, api: ApiProcess) -> None:
    page.goto(f"{api.url}/#token={TOKEN}")
    page.wait_for_selector("tr[data-device=ada-watch]")


def _wait_for_change(page: Page, expression: str) -> None:
    before = page.evaluate(expression)
    page.wait_for_function(f"before => ({expression}) !== before", arg=before)


def test_the_page_moves_and_the_token_leaves_the_address(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    _open(page, api)
    assert page.url == f"{api.url}/"
    assert page.locator("#devices tbody tr").count() == 4
    page.click("text=ben-watch")
    page.wait_for_function("document.getElementById('trace-title').textContent === 'ben-watch'")
    page.wait_for_function(DRAWN)
    for expression in (TRACE_PIXELS, "document.querySelector('[data-field=vm_g]').textContent"):
        _wait_for_change(page, expression)
        _wait_for_change(page, expression)
    assert page.locator("#connection-text").text_content() == "live"


def test_what_is_stale_is_shown_as_stale(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    _open(page, api)
    row = page.locator("tr[data-device=gone-watch]")
    assert row.get_attribute("data-freshness") == "silent"
    assert "60 min ago" in (row.text_content() or "")
    assert page.locator("tr[data-device=ada-watch]").get_attribute("data-freshness") == "live"
    fleet.stopping.set()
    page.wait_for_selector("tr[data-device=ada-watch][data-freshness=silent]", timeout=30_000)
    assert page.locator("#figure-live").text_content() == "0"


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_the_page_survives_a_restart_of_the_api(page: Page, api: ApiProcess, fleet: Fleet, with_signal: int) -> None:
    _open(page, api)
    page.wait_for_selector("body[data-connection=live]")
    api.stop(with_signal=with_signal)
    page.wait_for_selector("body[data-connection=lost]")
    assert "reconnecting, values as of" in (page.locator("#connection-text").text_content() or "")
    api.start()
    page.wait_for_selector("body[data-connection=live]")
    _wait_for_change(page, "document.querySelector('[data-field=vm_g]').textContent")
    _wait_for_change(page, TRACE_PIXELS)
    assert page.locator("#devices tbody tr").count() == 4


def test_a_wrong_token_is_asked_for_again_and_the_right_one_lets_in(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    page.goto(f"{api.url}/#token=wrong")
    page.wait_for_selector("#sign-in:not([hidden])")
    assert page.get_by_role("alert").text_content() == "This token is not known."
    assert page.locator("#main").is_hidden()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#devices tbody tr")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#sign-in:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_device_is_chosen_sorted_and_found_from_the_keyboard(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    _open(page, api)
    page.get_by_role("button", name="cleo-watch", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('trace-title').textContent === 'cleo-watch'")
    assert page.get_by_role("button", name="cleo-watch", exact=True).get_attribute("aria-pressed") == "true"
    page.wait_for_function("document.getElementById('trace').getAttribute('aria-label').includes('cleo-watch: now')")
    for order in ("ascending", "descending"):
        page.get_by_role("columnheader", name="device").get_by_role("button").focus()
        page.keyboard.press("Enter")
        names = page.locator("#devices tbody tr").evaluate_all("rows => rows.map(row => row.dataset.device)")
        assert names == sorted(names, reverse=order == "descending")
        assert page.get_by_role("columnheader", name="device").get_attribute("aria-sort") == order
    page.get_by_role("searchbox").fill("ad")
    page.wait_for_function(
        "[...document.querySelectorAll('#devices tbody tr')].filter(row => !row.hidden).length === 1"
    )


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
    assert page.title() == "Wearables: live"
