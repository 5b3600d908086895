"""The live page by keyboard, with a screen reader, on a phone, in the dark, and of a large fleet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform_tests.api_process import ApiProcess, Fleet
from wearables_platform_tests.api_world import TOKEN, World
from wearables_platform_tests.large_fleet import LargeFleet
from wearables_platform_tests.live_page_stage import enrol, lived, measured, scored, sending

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser, pytest.mark.sql, pytest.mark.redis, pytest.mark.integration, pytest.mark.timeout(180),
]  # fmt: skip

VIEWS = {
    "/": "#events li",
    "/device/ada-watch": "#device-events li",
    "/participant/ada": "#participant-days tr",
    "/platform": "#models tbody tr",
}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FOCUSED = "document.activeElement.textContent"


@pytest.fixture
def furnished(fleet: Fleet, world: World, live: LatestWriter) -> Fleet:
    """A fleet with something in every panel."""
    now = datetime.now(UTC)
    measured(world, "ada-watch", now, minutes=12)
    scored(world, now)
    lived(world, "ada", now)
    at = now - timedelta(minutes=2)
    world.anomaly("ada-watch", "spike", at.replace(microsecond=0), at)
    live.add_anomalies(
        {"e": {"device_id": "ada-watch", "kind": "spike", "start_us": 1, "peak_g": 8.25, "severity": "warning"}}
    )
    return fleet


def _open(page: Page, api: ApiProcess, view: str = "/", ready: str = "tr[data-device=ada-watch]") -> None:
    page.goto(f"{api.url}/#token={TOKEN}&view={view}")
    page.wait_for_selector(ready)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(page: Page, api: ApiProcess, furnished: Fleet, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    found = {}
    for view, ready in VIEWS.items():
        page.goto("about:blank")
        _open(page, api, view, ready)
        page.wait_for_selector("body[data-connection=live]")
        found[view] = _violations(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#sign-in:not([hidden])")
    found["sign-in"] = _violations(page)
    assert found == dict.fromkeys(found, [])


def test_axe_finds_nothing_where_the_connection_is_lost(page: Page, api: ApiProcess, furnished: Fleet) -> None:
    _open(page, api)
    api.stop()
    try:
        page.wait_for_selector("body[data-connection=lost]")
        assert _violations(page) == []
    finally:
        api.start()


def test_a_device_is_found_opened_and_left_from_the_keyboard(page: Page, api: ApiProcess, furnished: Fleet) -> None:
    _open(page, api)
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    _tab_to(page, "document.activeElement.id === 'filter'")
    page.keyboard.type("-watch")
    _tab_to(page, "document.activeElement.closest('th')?.dataset.sort === 'device_id'")
    page.keyboard.press("Enter")
    assert page.locator("#devices th[data-sort=device_id]").get_attribute("aria-sort") == "ascending"
    _tab_to(page, "document.activeElement.closest('tbody')")
    assert page.evaluate(FOCUSED) == "ada-watch"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED) == "ben-watch"
    page.keyboard.press("End")
    assert page.evaluate(FOCUSED) == "gone-watch"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector("#view-device:not([hidden])")
    assert page.evaluate(FOCUSED) == "cleo-watch"  # the heading
    page.keyboard.press("Escape")
    page.wait_for_selector("#view-fleet:not([hidden])")
    assert page.evaluate(f"{FOCUSED} + ' ' + document.activeElement.tagName") == "cleo-watch A"


def test_only_the_connection_and_counts_asked_for_are_read_out(page: Page, api: ApiProcess, furnished: Fleet) -> None:
    _open(page, api)
    page.evaluate(
        """() => {
            window.said = [];
            for (const region of document.querySelectorAll('[role=status], [role=alert], [aria-live]'))
                new MutationObserver(() => window.said.push(region.textContent))
                    .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    shown = "document.querySelector('tr[data-device=ben-watch] td:nth-child(5)').textContent"
    for _ in range(3):
        before = page.evaluate(shown)
        page.wait_for_function(f"before => ({shown}) !== before", arg=before)
    assert page.evaluate("window.said") == []
    page.get_by_role("searchbox").fill("ad")
    page.wait_for_function("() => document.querySelectorAll('#devices tr[data-device]').length === 1")
    assert page.evaluate("window.said") == ["1 of 4 devices match"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_and_large_text_need_no_sideways_scroll(
    page: Page, api: ApiProcess, furnished: Fleet, view: str
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    _open(page, api, view, VIEWS[view])
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.set_viewport_size({"width": 1280, "height": 900})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_the_theme_is_the_systems_until_the_reader_chooses(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    _open(page, api)
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) != dark
    page.reload()
    page.wait_for_selector("tr[data-device=ada-watch]")
    assert page.evaluate(ground) != dark
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(ground) == dark


def test_a_reader_who_wants_no_motion_gets_steps(page: Page, api: ApiProcess, fleet: Fleet) -> None:
    page.emulate_media(reduced_motion="reduce")
    _open(page, api, "/device/ada-watch", "#view-device:not([hidden])")
    drawn = "document.getElementById('trace').toDataURL()"
    before = page.evaluate(drawn)
    page.wait_for_function(f"before => {drawn} !== before", arg=before)
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_signal_is_zoomed_with_buttons_and_said_in_words(page: Page, api: ApiProcess, furnished: Fleet) -> None:
    _open(page, api, "/device/ada-watch", "[data-history=said]:has-text('points')")
    said = "document.querySelector('[data-history=said]').textContent"
    for button in ("Zoom in", "Earlier", "Newest", "Zoom out"):
        before = page.evaluate(said)
        page.get_by_role("button", name=button).click()
        page.wait_for_function(f"before => {said} !== before", arg=before)
    page.get_by_text("As a table").click()
    assert 0 < page.locator("[data-history=rows] tr").count() <= 24


def test_every_kind_of_event_is_explained(page: Page, api: ApiProcess) -> None:
    page.goto(api.url)
    known = page.evaluate("import('/static/events.js').then((events) => Object.keys(events.KINDS))")
    assert set(known) == {"spike", *(kind.name for kind in RULE_KINDS)}


@pytest.fixture
def ten_thousand(world: World, live: LatestWriter) -> Iterator[list[str]]:
    """Ten thousand devices, nearly all of which send every second."""
    names = enrol(world, 10_000)
    with sending(LargeFleet(live, names)):
        yield names


def test_ten_thousand_devices_are_shown_searched_and_walked_through(
    page: Page, api: ApiProcess, ten_thousand: list[str]
) -> None:
    page.set_default_timeout(60_000)
    _open(page, api, ready="tr[data-device]")
    page.wait_for_function("() => document.getElementById('figure-devices').textContent === '10,000'")
    page.wait_for_function("() => document.querySelector('#studies tbody').rows.length === 3")
    assert page.locator("#devices tr[data-device]").count() < 60
    assert page.locator("#devices").get_attribute("aria-rowcount") == "10001"
    page.locator("#devices th[data-sort=device_id] button").click()
    page.locator("#devices tr[data-device] a").first.focus()
    page.keyboard.press("End")
    assert page.evaluate(FOCUSED) == ten_thousand[-1]
    page.keyboard.press("Home")
    assert page.evaluate(FOCUSED) == ten_thousand[0]
    page.get_by_role("searchbox").fill(ten_thousand[4321])
    page.wait_for_function("() => document.querySelectorAll('#devices tr[data-device]').length === 1")
    page.locator("#devices tr[data-device] a").click()
    page.wait_for_selector("#view-device[data-freshness=live]")
    moved = "document.querySelector('[data-field=vm_g]').textContent"
    before = page.evaluate(moved)
    page.wait_for_function(f"before => ({moved}) !== before", arg=before)


def _violations(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    answer = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}}).response
    return [f"{one['id']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in answer["violations"]]


def _tab_to(page: Page, condition: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"Boolean({condition})"):
            return
    pytest.fail(f"no Tab leads to where {condition}")
