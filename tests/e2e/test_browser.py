"""Headless Chromium in front of the gateway: what a browser asks again, may read from another origin, and gets as it
is made. Each page posts what it saw to the server it came from.
"""

import http.server
import json
import queue
import re
import shutil
import subprocess
import tempfile
import threading

import pytest
from conftest import PATIENCE, Gateway

CONTENT = b"<!doctype html><title>Books</title>" + b"<p>1984</p>" * 400

RELOADING = b"""<!doctype html><title>Reloads</title><script>
const times = Number(sessionStorage.getItem("times") || 0);
addEventListener("load", () => {
  if (times < 2) { sessionStorage.setItem("times", times + 1); location.reload(); }
  else fetch("/result", { method: "POST", body: "{}" });
});
</script>""" + CONTENT

READING = b"""<!doctype html><title>Another origin</title><script>
const base = "http://" + location.hash.slice(1);
async function read(path, options) {
  try { const answer = await fetch(base + path, options); return [answer.status, (await answer.text()).length]; }
  catch (error) { return [String(error)]; }
}
(async () => {
  const seen = {};
  for (const [name, path, options] of [
    ["first", "/shared", { credentials: "include" }], ["again", "/shared", { credentials: "include" }],
    ["part", "/shared", { credentials: "include", headers: { Range: "bytes=0-3" } }],
    ["missing", "/shared", { credentials: "include", cache: "reload" }],
    ["failed", "/shared/failing", { credentials: "include" }],
  ]) seen[name] = await read(path, options);
  fetch("/result", { method: "POST", body: JSON.stringify(seen) });
})();
</script>"""

EVENTS = b"""<!doctype html><title>Events</title><script>
const seen = [];
const source = new EventSource("/events");
source.onmessage = (event) => {
  seen.push(event.data);
  if (event.data === "3") { source.close(); fetch("/result", { method: "POST", body: JSON.stringify(seen) }); }
  else fetch("/got/" + event.data, { method: "POST" });
};
</script>"""


class Site(http.server.ThreadingHTTPServer):
    """Pages, an API for them, and what came back."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.results, self.acknowledged = queue.Queue(), queue.Queue()
        self.statuses = {}
        self.failing = False

    @property
    def address(self):
        return f"127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, content=b"", **fields):
        self.server.statuses.setdefault(self.path, []).append(status)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        pages = {"/reading": READING, "/streaming": EVENTS}
        if self.path == "/reloading":
            # As Rack::ETag answers for pages that have no Cache-Control of their own.
            known = self.headers.get("If-None-Match") == 'W/"books"'
            fields = {"Cache_Control": "max-age=0, private, must-revalidate", "ETag": 'W/"books"', "Content_Type": "text/html"}
            self.answer(304, **fields) if known else self.answer(200, RELOADING, **fields)
        elif self.path in pages:
            self.answer(200, pages[self.path], Content_Type="text/html", Cache_Control="no-store")
        elif self.path.startswith("/shared"):
            allowed = {"Access_Control_Allow_Origin": self.headers.get("Origin", ""), "Access_Control_Allow_Credentials": "true"}
            if self.path.endswith("failing") and self.server.failing:
                self.close_connection = True
                return
            lifetime = "no-store" if self.path.endswith("failing") else "max-age=60"
            self.answer(200, b'{"title": "1984"}', Vary="Origin", Cache_Control=lifetime, **allowed)
        elif self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in ("1", "2", "3"):
                self.wfile.write(f"data: {number}\n\n".encode())
                if number != "3":
                    # The next one is made when the page has this one.
                    assert self.server.acknowledged.get(timeout=PATIENCE) == number
            self.close_connection = True
        else:
            self.answer(404)

    def do_OPTIONS(self):
        self.answer(
            204,
            Access_Control_Allow_Origin=self.headers.get("Origin", ""),
            Access_Control_Allow_Credentials="true",
            Access_Control_Allow_Headers="Range",
            Vary="Origin",
        )

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(204)
        if self.path == "/result":
            self.server.results.put(json.loads(content))
        else:
            self.server.acknowledged.put(self.path.rpartition("/")[2])

    def log_message(self, format, *args):
        """Silent."""


def browse(site, url):
    """Opens `url`; what its page posts in the end."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    assert browser, "Chromium is not installed"
    with tempfile.TemporaryDirectory(prefix="bookend-e2e-", ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        options += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
        child = subprocess.Popen([browser, *options, "--remote-debugging-port=0", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return site.results.get(timeout=60)
        finally:
            child.terminate()
            child.wait(PATIENCE)


@pytest.fixture
def site():
    with Site() as running:
        yield running


def test_a_reload_costs_no_more_than_without_the_gateway(site):
    browse(site, f"http://{site.address}/reloading")
    directly = site.statuses.pop("/reloading")
    assert directly == [200, 304, 304]
    with Gateway(f"http://{site.address}") as gateway:
        browse(site, f"{gateway.url}/reloading")
        answers = [int(status) for status in re.findall(r'"GET /reloading HTTP/1\.1" (\d+)', gateway.process.output)]
    assert answers == directly
    assert site.statuses["/reloading"] == directly


def test_another_origin_reads_what_the_api_lets_it_read(site):
    directly = browse(site, f"http://{site.address}/reading#localhost:{site.server_port}")
    assert directly["first"] == directly["again"] == [200, 17] and directly["part"][0] in (200, 206)
    with Gateway(f"http://{site.address}") as gateway:
        through = browse(site, f"http://{site.address}/reading#localhost:{gateway.address[1]}")
        assert through == {**directly, "part": [206, 4]}
        # What the gateway itself has to say of this API can be read there, too.
        site.failing = True
        failed = browse(site, f"http://{site.address}/reading#localhost:{gateway.address[1]}")["failed"]
    assert failed[0] == 502, failed


def test_events_come_as_they_are_made(site):
    with Gateway(f"http://{site.address}") as gateway:
        assert browse(site, f"{gateway.url}/streaming") == ["1", "2", "3"]
