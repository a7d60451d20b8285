"""The dashboard's live view of requests, its fleet and tiers, and a purge of very much, in headless Chromium."""

import json
import re

import pytest
import requests
from conftest import PATIENCE, wait_for
from playwright.sync_api import expect
from test_dashboard import IMAGE, NARROW, ROUTES, WIDE, books, chromium, get, hostile_api, visit  # noqa: F401

OVERRIDE = "\u202eevil"

FLEET = {
    "id": "00000000000000a1", "connected": True, "heard": True, "behind": 0, "gateways": 3, "epoch": "5c1f000000000000", "sequence": 1234,
    "pending": 2, "applied": 7, "acknowledged": 5, "epochs": 1, "late": 0,
    "shared": {"hits": 75, "misses": 25, "passed": 4, "followed": 6, "stored": 30, "refused": 1},
}  # fmt: skip


def first_row(seen):
    return seen.find("#live-rows tr").first


def awaited(seen, gateway, path):
    """Asks until a row shows it: the stream may have begun a moment after the page has."""

    def shown():
        get(gateway, path)
        return path in seen.find("#live-rows").inner_text()

    seen.find("#live-rows").wait_for(state="attached")
    wait_for(f"{path} among the rows", shown)


def test_requests_are_shown_as_they_are_answered(visit, books):
    with visit(books, "requests") as seen:
        expect(seen.find("#live-empty")).to_be_visible()
        awaited(seen, books, "/books/123")
        awaited(seen, books, "/none")
        expect(first_row(seen)).to_contain_text("404")
        expect(first_row(seen)).to_contain_text("GET " + books.url + "/none")
        expect(seen.find("#live-rows")).to_contain_text("miss")
        expect(seen.find("#live-rows")).to_contain_text("hit")
        expect(seen.find("#live-rows")).to_contain_text("/books/{id}")
        first_row(seen).get_by_role("button", name="Explain").click()
        seen.says("#explanation", "/none")


def test_the_gateway_narrows_what_is_shown(visit, books):
    with visit(books, "requests") as seen:
        awaited(seen, books, "/books/123")
        with seen.page.expect_request(re.compile(r"/tail\?status=404$")):
            seen.find("#live-form [name=status]").fill("404")
            seen.page.keyboard.press("Tab")
        # Rows of another choice have gone.
        expect(seen.find("#live-rows tr")).to_have_count(0)
        get(books, "/books/123")
        awaited(seen, books, "/none")
        assert "/books/123" not in seen.find("#live-rows").inner_text()
        seen.find("#live-form [name=status]").fill("")
        with seen.page.expect_request(re.compile(r"/tail\?route=%2Fbooks%2F%7Bid%7D&result=hit$")):
            seen.find("#live-form [name=route]").fill("/books/{id}")
            seen.find("#live-form [name=result]").select_option("hit")
        awaited(seen, books, "/books/456")
        assert set(seen.find("#live-rows .result").all_inner_texts()) == {"hit"}


def test_a_wrong_choice_is_told_with_the_right_one(visit, books):
    with visit(books, "requests") as seen:
        seen.find("#live-form [name=route]").fill("/book/{id}")
        seen.page.keyboard.press("Tab")
        seen.says("#live-problem", 'did you mean "/books/{id}"?')
        seen.find("#live-form [name=route]").fill("")
        seen.page.keyboard.press("Tab")
        expect(seen.find("#live-problem")).to_be_empty()
        awaited(seen, books, "/books/123")
        # The browser itself writes to its console that the answer was 400.
        assert all("400" in fault for fault in seen.faults)
        seen.faults.clear()


def test_a_paused_view_stays_and_goes_on(visit, books):
    with visit(books, "requests") as seen:
        awaited(seen, books, "/books/123")
        seen.find("#live-pause").focus()
        seen.page.keyboard.press("Space")
        expect(seen.find("#live-pause")).to_have_attribute("aria-pressed", "true")
        get(books, *(f"/books/late-{n}" for n in range(3)))
        # Those by which the stream was awaited may come, too.
        expect(seen.find("#live-when")).to_contain_text(re.compile(r"Paused, ([3-9]|\d\d+) requests waiting"))
        assert "late-" not in seen.find("#live-rows").inner_text()
        seen.page.keyboard.press("Space")
        expect(first_row(seen)).to_contain_text("late-2")
        assert "late-0" in seen.find("#live-rows").inner_text()
        seen.find("#live-clear").click()
        expect(seen.find("#live-rows tr")).to_have_count(0)


def test_a_busy_gateway_fills_no_more_than_200_rows(visit, books):
    with visit(books, "requests") as seen:
        awaited(seen, books, "/books/123")
        with requests.Session() as session:
            for n in range(260):
                session.get(f"{books.url}/books/{n % 3}?n={n}", timeout=PATIENCE)
        expect(first_row(seen)).to_contain_text("n=259")
        assert seen.find("#live-rows tr").count() == 200


def test_nobody_listens_once_another_view_is_shown(visit, books):
    with visit(books, "requests") as seen:
        awaited(seen, books, "/books/123")
        with seen.page.expect_event("requestfailed", lambda request: "/tail" in request.url):
            seen.find("#views [href='#urls']").click()


def test_what_clients_have_written_is_shown_as_text(visit, gateway, hostile_api):
    hostile = gateway(hostile_api)
    line = {"time": "2026-12-01T05:00:00.123Z", "method": "GET", "scheme": "http", "host": "h", "target": f"/{OVERRIDE}{IMAGE}", "status": 200}
    line |= {"result": "miss", "reason": IMAGE, "detail": "two\u2066", "route": IMAGE, "duration_ms": 1.5, "bytes": 3}
    with visit(hostile, "overview") as seen:
        seen.page.route(re.compile("/tail"), lambda route: route.fulfill(status=200, body=json.dumps(line) + "\n"))
        seen.find("#views [href='#requests']").click()
        seen.says("#live-rows", "\\u{202e}evil" + IMAGE)
        seen.says("#live-rows", "two\\u{2066}")
        expect(seen.find("img")).to_have_count(0)


def with_tiers(seen, status):
    """The page with the gateway's own state, but for these members."""
    real = requests.get(f"{seen.gateway.admin_url}/status", timeout=PATIENCE).json()
    event = "event: status\ndata: " + json.dumps({**real, **status}) + "\n\n"
    seen.page.route(re.compile("/live$"), lambda route: route.fulfill(status=200, content_type="text/event-stream", body=event))
    seen.page.reload()


def test_the_fleet_and_the_tiers_are_shown_where_there_are_some(visit, books):
    with visit(books) as seen:
        seen.says("#stage", "Ready")
        expect(seen.find("#tiers-panel")).to_be_hidden()
        with_tiers(seen, {"fleet": FLEET})
        for text in ["hears the others", "Gateways, this one included3", "Behind the others by0 invalidations", "acknowledged by all yet2", "1,234"]:
            seen.says("#tiers", text)
        for text in ["75.0 %", "Waited for another gateway6", "30, 1 refused"]:
            seen.says("#tiers", text)
        assert "Disk" not in seen.find("#tiers").inner_text()
        seen.page.unroute_all()
        with_tiers(seen, {"fleet": {**FLEET, "heard": False, "behind": 1, "connected": False}})
        seen.says("#tiers [data-state=bad] >> nth=0", "server not reached")
        seen.says("#tiers", "validated with the API before it is used")
        seen.says("#tiers", "Behind the others by1 invalidation")
        seen.faults.clear()


def test_the_disk_tier_is_shown_with_its_hits(visit, gateway, plain_api, tmp_path):
    kept = gateway(plain_api.url, more=f'[disk]\npath = "{tmp_path / "kept"}"\n' + ROUTES)
    get(kept, "/books/123")
    with visit(kept) as seen:
        seen.says("#tiers", "Disk tier")
        seen.says("#tiers", "in use")
        expect(seen.find("#tiers")).to_contain_text(re.compile(r"Responses\s*1"))
        expect(seen.find("#tiers")).to_contain_text(re.compile(r"of 1\.0 GiB"))
        assert "Fleet" not in seen.find("#tiers").inner_text()


def test_a_purge_of_a_tag_says_what_the_api_would_have_to_bear(visit, gateway, plain_api):
    tagged = gateway(plain_api.url, more='[[route]]\nmatch = "/books/{id}"\nttl = "5m"\nstatuses = [200, 404]\ntags = ["all-books"]\n')
    with requests.Session() as session:
        for n in range(300):
            session.get(f"{tagged.url}/books/{n}", timeout=PATIENCE)
        for _ in range(200):
            session.get(f"{tagged.url}/books/7", timeout=PATIENCE)
    with visit(tagged, "purge") as seen:
        seen.find("input[value=tag]").check()
        seen.find("#purge-form textarea").fill("all-books")
        seen.find("#purge-form button").click()
        seen.says("#preview", "300 resources")
        seen.says("#preview", "requests a second")
        seen.says("#preview", "/books/7")
        expect(seen.find("#confirm-purge")).to_contain_text("Purge 300 resources")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_live_view_and_the_tiers_fit_the_screen(visit, books, size, theme):
    with visit(books, "requests", viewport=size, color_scheme=theme, reduced_motion="reduce") as seen:
        awaited(seen, books, "/books/" + "long" * 40)
        awaited(seen, books, "/books/123")
        widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        for view in ["requests", "overview"]:
            seen.find(f"#views [href='#{view}']").click()
            if view == "overview":
                with_tiers(seen, {"fleet": FLEET})
                seen.says("#tiers", "Shared tier")
            scroll, client = seen.page.evaluate(widths)
            assert scroll <= client, f"{view} scrolls sideways"
            durations = seen.page.evaluate(
                "[...document.querySelectorAll('*')].flatMap((e) => { const s = getComputedStyle(e); return [s.transitionDuration, s.animationDuration] })"
            )
            assert set(durations) == {"0s"}
        seen.faults.clear()
