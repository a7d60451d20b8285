"""The dashboard in headless Chromium, of a gateway in front of a real book API: what a person sees and does there."""

import http.server
import os
import re
import shutil
import threading
import time

import pytest
import requests
from conftest import PATIENCE
from playwright.sync_api import expect, sync_playwright

ROUTES = """
[[route]]
match = "/books/{id}"
ttl = "5m"
"""

# What would run a script, if any part of the page read it as HTML.
IMAGE = "<img/src=x/onerror=alert(1)>"
HOSTILE = f"/books/{{x}}\"'?q={IMAGE}"

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is not installed"
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


class Visit:
    """A page of the dashboard, and all that should not have happened on it."""

    def __init__(self, browser, gateway, view="overview", **options):
        self.gateway = gateway
        self.faults, self.asked, self.dialogs = [], [], []
        self.context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light", **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", lambda message: message.type in ("error", "warning") and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(f"{gateway.admin_url}/#{view}")

    def find(self, selector):
        return self.page.locator(selector)

    def says(self, selector, text):
        expect(self.find(selector)).to_contain_text(text, timeout=PATIENCE * 1000)

    def colour(self, name):
        return self.page.evaluate(f"getComputedStyle(document.body).{name}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        others = [url for url in self.asked if not url.startswith(self.gateway.admin_url + "/")]
        self.context.close()
        if kind is None:
            assert not self.faults
            assert not self.dialogs
            assert self.asked and not others


@pytest.fixture
def visit(chromium):
    expect.set_options(timeout=PATIENCE * 1000)
    return lambda gateway, *args, **options: Visit(chromium, gateway, *args, **options)


@pytest.fixture
def books(gateway, plain_api):
    return gateway(plain_api.url, more=ROUTES)


class Hostile(http.server.BaseHTTPRequestHandler):
    """An API whose responses have HTML where text is meant."""

    def do_GET(self):
        self.send_response(200)
        for name, value in [("Cache-Control", "max-age=60"), ("Content-Length", "0"), ("X-Note", IMAGE), ("Vary", "Accept")]:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format, *args):
        """Silent."""


@pytest.fixture
def hostile_api():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def get(gateway, *paths):
    for path in paths:
        requests.get(gateway.url + path, timeout=PATIENCE)


def stored(gateway):
    would = requests.post(f"{gateway.admin_url}/purge?all=true&dry_run=true", timeout=PATIENCE).json()
    return would["would_purge"]


def test_numbers_change_while_one_looks(visit, books):
    with visit(books) as seen:
        seen.says("#stage", "Ready")
        seen.says("#rate-more", "0 since the start")
        get(books, *["/books/123"] * 5)
        seen.says("#rate-more", "5 since the start")
        seen.says("#ratio", "80.0 %")
        seen.says("#routes tbody", "/books/{id}")
        seen.says("#servers", "up")
        # The areas and the legend have the requests, too.
        expect(seen.find("#requests-chart .of-hit")).to_have_attribute("d", re.compile("^M"))
        seen.find("#requests-chart svg").focus()
        expect(seen.find("#requests-when")).to_contain_text("a second")
        seen.page.keyboard.press("ArrowLeft")
        expect(seen.find("#requests-when")).to_contain_text(re.compile(r"at \d\d:\d\d:\d\d: \d+ request"))


def test_a_request_is_explained(visit, books):
    get(books, "/books/123")
    with visit(books, "explain") as seen:
        seen.find("#explain-form [name=url]").fill("/books/123")
        seen.find("#explain-form button").click()
        seen.says("#explanation", "/books/{id}")
        seen.says("#explanation", "1 stored response")
        seen.says("#explanation .variant", "fresh for")
        seen.find("#explanation summary").click()
        seen.says("#explanation pre", "content-type: application/json")


def test_what_cannot_be_explained_is_told(visit, books):
    with visit(books, "explain") as seen:
        seen.find("#explain-form [name=url]").fill("no path")
        seen.find("#explain-form button").click()
        seen.says("#explain-problem", "no path")
        # The browser itself writes to its console that the answer was 400.
        assert all("400" in fault for fault in seen.faults)
        seen.faults.clear()


def test_a_purge_is_previewed_and_confirmed(visit, books):
    get(books, "/books/123", "/books/456")
    assert stored(books) == 2
    with visit(books, "purge") as seen:
        seen.find("input[value=prefix]").check()
        seen.find("#purge-form textarea").fill("/books")
        seen.find("#purge-form [name=reason]").fill("new <b>prices</b>")
        seen.find("#purge-form button").click()
        seen.says("#preview", "2 resources")
        # Nothing has gone yet, and what is changed now was not previewed.
        assert stored(books) == 2
        seen.find("#purge-form textarea").fill("/books/123")
        expect(seen.find("#confirm-purge")).to_have_count(0)
        seen.find("#purge-form button").click()
        seen.says("#preview", "1 resource")
        seen.find("#confirm-purge").click()
        seen.says("#preview", "Purged 1 resource")
        assert stored(books) == 1
        seen.says("#purge-log", "/books/123")
        seen.says("#purge-log", "new <b>prices</b>")


def test_what_others_have_written_is_shown_as_text(visit, gateway, hostile_api):
    hostile = gateway(hostile_api)
    get(hostile, HOSTILE)
    with visit(hostile, "explain") as seen:
        seen.find("#explain-form [name=url]").fill(HOSTILE)
        seen.find("#explain-form button").click()
        # The target is shown as it is keyed.
        seen.says("#explanation .request", "onerror=alert(1)")
        seen.says("#explanation .variant", "onerror=alert(1)")
        seen.find("#explanation summary").click()
        seen.says("#explanation pre", f"x-note: {IMAGE}")
        seen.find("#views [href='#purge']").click()
        seen.find("#purge-form textarea").fill(HOSTILE)
        seen.find("#purge-form [name=reason]").fill(IMAGE)
        seen.find("#purge-form button").click()
        seen.says("#preview", "1 resource")
        seen.find("#confirm-purge").click()
        seen.says("#purge-log", IMAGE)
        expect(seen.find("img")).to_have_count(0)


def test_text_is_never_read_as_html(visit, books):
    # Whatever a script of the page tried: the policy of the page forbids it.
    with visit(books) as seen:
        attempt = "try { document.body.innerHTML = '<b>x</b>'; 'done' } catch (error) { error.name }"
        assert seen.page.evaluate(attempt) == "TypeError"
        seen.faults.clear()


def test_the_token_is_asked_for_and_is_in_no_url(visit, gateway, plain_api):
    guarded = gateway(plain_api.url, more='token = "correct-horse"\n' + ROUTES)
    with visit(guarded) as seen:
        expect(seen.find("#token-form")).to_be_visible()
        expect(seen.find("main")).to_be_hidden()
        seen.find("#token").fill("wrong")
        seen.find("#token-form button").click()
        seen.says("#token-problem", "did not accept")
        seen.find("#token").fill("correct-horse")
        seen.page.keyboard.press("Enter")
        seen.says("#stage", "Ready")
        expect(seen.find("main")).to_be_visible()
        expect(seen.find("#token-form")).to_be_hidden()
        # It is kept for this tab, and every view has it.
        seen.page.reload()
        seen.says("#stage", "Ready")
        seen.find("#views [href='#config']").click()
        seen.says("#config", "listen")
        seen.says("#config", "(set)")
        assert "correct" not in seen.find("#config").inner_text()
        assert not [url for url in [*seen.asked, seen.page.url] if "horse" in url]
        # The browser itself writes to its console that answers were 401.
        assert all("401" in fault for fault in seen.faults)
        seen.faults.clear()


def test_a_gateway_that_is_gone_is_told_and_found_again(visit, gateway, plain_api):
    books = gateway(plain_api.url, more=ROUTES)
    with visit(books) as seen:
        seen.says("#stage", "Ready")
        expect(seen.find("#notice")).to_be_hidden()
        books.process.stop()
        seen.says("#stage", "Not connected")
        seen.says("#notice", "does not answer")
        books.restart()
        seen.says("#stage", "Ready")
        expect(seen.find("#notice")).to_be_hidden()
        seen.faults.clear()


def test_the_configuration_shows_what_differs_from_the_defaults(visit, books):
    with visit(books, "config") as seen:
        seen.says("#config", 'match = "/books/{id}"')
        assert "drain_timeout" not in seen.find("#config").inner_text()
        seen.find("#config-all").check()
        seen.says("#config", 'drain_timeout = "30s"')
        expect(seen.find("#config-problem")).to_be_empty()
        later = time.time() + 10
        os.utime(books.config, (later, later))
        seen.page.reload()
        seen.says("#config-problem", "The file has changed since it was read")


def answer_in_place_of_the_gateway(seen, path, status, document):
    pattern = re.compile(re.escape(f"{seen.gateway.admin_url}{path}") + r"(\?|$)")
    seen.page.route(pattern, lambda route: route.fulfill(status=status, json=document))


def test_urls_are_listed_with_what_to_change_and_lead_to_the_other_views(visit, books):
    get(books, "/books/123")
    url = f"{books.url}/books/123"
    reason = {"reason": "set-cookie", "sentence": f"It sets a cookie. {IMAGE}", "cure": 'Set `set_cookie = "strip"`.'}
    top = {"urls": [{"url": url, "sum": 12345, "error": 0, **reason}]}
    row = {"url": url, "route": "/books/{id}", "status": 200, "bytes": 2048, "hits": 7, "age": 3, "ttl": -2, "variants": 1, "tags": ["a", IMAGE]}
    with visit(books) as seen:
        answer_in_place_of_the_gateway(seen, "/top", 200, top)
        answer_in_place_of_the_gateway(seen, "/stored", 200, {"stored": [row], "walked": 1, "next": None})
        seen.find("#views [href='#urls']").click()
        for text in [url, "12,345", "set-cookie", IMAGE, 'Set set_cookie = "strip".']:
            seen.says("#top", text)
        for text in [url, "7", "2.0 KiB", "stale", f"a, {IMAGE}"]:
            seen.says("#stored-list", text)
        seen.find("#stored-form [name=prefix]").fill("/a b&c")
        with seen.page.expect_request(re.compile(r"/stored\?prefix=%2Fa%20b%26c&sort=hits&limit=50$")):
            seen.find("#stored-form button").click()
        seen.find("#top").get_by_role("button", name="Purge").click()
        seen.says("#preview", "1 resource")
        seen.find("#views [href='#urls']").click()
        seen.find("#stored-list").get_by_role("button", name="Explain").click()
        seen.says("#explanation", "1 stored response")


def test_a_panel_whose_endpoint_the_gateway_does_not_have_is_not_shown(visit, books):
    with visit(books) as seen:
        for path in ["/top", "/stored"]:
            answer_in_place_of_the_gateway(seen, path, 404, {"status": 404, "detail": "no such endpoint"})
        seen.find("#views [href='#urls']").click()
        expect(seen.find("#urls-missing")).to_be_visible()
        expect(seen.find("#top-panel")).to_be_hidden()
        expect(seen.find("#stored-panel")).to_be_hidden()
        # The browser itself writes to its console that answers were 404.
        assert all("404" in fault for fault in seen.faults)
        seen.faults.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_view_fits_the_screen_in_both_themes(visit, books, size, theme):
    get(books, "/books/123", HOSTILE, "/books/" + "long" * 60)
    with visit(books, viewport=size, color_scheme=theme) as seen:
        seen.says("#stage", "Ready")
        red, *_ = map(int, re.findall(r"\d+", seen.colour("backgroundColor")))
        assert red > 200 if theme == "light" else red < 50
        for view in ["overview", "explain", "purge", "config"]:
            seen.find(f"#views [href='#{view}']").click()
            expect(seen.find(f"#view-{view}")).to_be_visible()
            if view == "explain":
                seen.find("#explain-form [name=url]").fill("/books/" + "long" * 60)
                seen.find("#explain-form button").click()
                seen.says("#explanation", "On the way")
            widths = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert widths[0] <= widths[1], f"{view} scrolls sideways"
        # The switch goes before the system's choice, and is remembered.
        other = {"light": "dark", "dark": "light"}[theme]
        seen.find("#theme").select_option(other)
        changed = seen.colour("backgroundColor")
        seen.page.reload()
        assert seen.colour("backgroundColor") == changed
        assert (int(re.search(r"\d+", changed)[0]) > 200) == (other == "light")


def test_all_of_it_is_reached_by_keyboard(visit, books):
    get(books, "/books/123")
    with visit(books) as seen:
        seen.says("#routes tbody", "/books/{id}")
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the content"
        expect(seen.find(".skip")).to_be_in_viewport()
        reached = set()
        # The focus goes round once, through the browser's own controls, and is seen at each step.
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            focus = seen.page.evaluate(
                "(() => { const e = document.activeElement; return e === document.body ? null :"
                " [e.textContent.trim().slice(0, 20) || e.id || e.parentElement.id, getComputedStyle(e).outlineStyle] })()"
            )
            if focus is None:
                break
            assert focus[1] != "none", f"the focus cannot be seen on {focus[0]}"
            reached.add(focus[0])
        assert {"Overview", "Configuration", "10 s", "Requests/s"} <= reached
