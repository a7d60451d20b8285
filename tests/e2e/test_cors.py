"""CORS in headless Chromium: pages of three origins read what one API has, which knows nothing of CORS; the gateway lets two of
them. The browser is the judge of each answer: what it does not accept, the page does not see.
"""

import collections
import contextlib
import http.server
import threading

import pytest
from conftest import Gateway, wait_for
from test_browser import Handler, Site, browse

PAGE = b"""<!doctype html><title>CORS</title><script>
const base = location.hash.slice(1);
document.cookie = "session=42";
async function ask(path, options) {
  try {
    const answer = await fetch(base + path, options);
    const names = ["x-total", "x-hidden", "cache-status"];
    return { status: answer.status, text: await answer.text(), fields: names.map((name) => answer.headers.get(name)) };
  } catch (error) { return String(error.name); }
}
(async () => {
  const put = (fields) => ({ method: "PUT", body: "{}", credentials: "include", headers: { "Content-Type": "application/json", ...fields } });
  const seen = {
    read: await ask("/books", { credentials: "include" }),
    anonymous: await ask("/books?page=2", { credentials: "omit" }),
    written: await ask("/books/1", put({ "X-Edition": "2" })),
    written_again: await ask("/books/1", put({ "X-Edition": "3" })),
    other_field: await ask("/books/1", put({ "X-Other": "1" })),
    other_method: await ask("/books/1", { method: "DELETE" }),
    missing: await ask("/books/none", { credentials: "include" }),
  };
  fetch("/result", { method: "POST", body: JSON.stringify(seen) });
})();
</script>"""


class PageHandler(Handler):
    def do_GET(self):
        self.answer(200, PAGE, Content_Type="text/html", Cache_Control="no-store")


class Api(http.server.ThreadingHTTPServer):
    """Books, and what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), ApiHandler)
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class ApiHandler(Handler):
    def do_GET(self):
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, fields))
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        found = "none" not in self.path
        # It lets everybody in, as many do who have never heard of credentials: the gateway's word counts.
        self.answer(
            200 if found else 404,
            b'[{"title": "1984"}]',
            Content_Type="application/json",
            Cache_Control="public, max-age=60" if found else "no-store",
            Access_Control_Allow_Origin="*",
            X_Total="1",
            X_Hidden="secret",
        )

    do_PUT = do_DELETE = do_OPTIONS = do_GET

    def answer(self, status, content=b"", **fields):
        self.send_response(status)
        for name, value in {**fields, "Content_Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def origins():
    """Three of them, each with its own pages."""
    with contextlib.ExitStack() as running:
        sites = [running.enter_context(Site()) for _ in range(3)]
        for site in sites:
            site.RequestHandlerClass = PageHandler
        yield sites


def test_pages_of_listed_origins_read_and_write_and_no_other_does(origins):
    first, second, stranger = origins
    listed = ", ".join(f'"http://{site.address}"' for site in (first, second))
    cors = (
        f'[[route]]\nmatch = "/books/{{*rest}}"\n[[route]]\nmatch = "/books"\n[cache]\ncors = {{ origins = [{listed}], credentials = true, '
        'methods = ["GET", "PUT"], headers = ["Content-Type", "X-Edition"], expose = ["X-Total", "Cache-Status"], max_age = "10m" }\n'
    )
    with Api() as api, Gateway(f"http://127.0.0.1:{api.server_port}", more=cors) as gateway:
        seen = {}
        # The first one again, once the store has been read and refused for others.
        for name, site in [("first", first), ("second", second), ("stranger", stranger), ("again", first)]:
            seen[name] = browse(site, f"http://{site.address}/#{gateway.url}")

        for name in ("first", "second", "again"):
            of = seen[name]
            for what in ("read", "anonymous", "written", "written_again"):
                assert of[what]["status"] == 200, (name, what, of)
                total, hidden, status = of[what]["fields"]
                # What is exposed, and nothing else, although the API sends it.
                assert total == "1" and hidden is None and status.startswith("bookend"), (name, what, of)
            assert of["other_field"] == of["other_method"] == "TypeError", (name, of)
            assert of["missing"]["status"] == 404
        # One response is stored for all origins, and each may read it.
        for name, what in [("second", "read"), ("second", "anonymous"), ("again", "read"), ("again", "anonymous")]:
            assert "; hit" in seen[name][what]["fields"][2], (name, what, seen)
        assert all(answer == "TypeError" for answer in seen["stranger"].values()), seen["stranger"]

        asked = collections.Counter(method for method, _, _ in api.asked)
        # Preflights are answered by the gateway, and what they do not allow does not come.
        assert "OPTIONS" not in asked and "DELETE" not in asked, asked
        assert asked["PUT"] == 6, asked
        for method, path, fields in api.asked:
            if method == "PUT":
                assert fields["x-edition"] in ("2", "3") and fields["cookie"] == "session=42"
                assert fields["origin"] in (f"http://{first.address}", f"http://{second.address}")
            else:
                assert "origin" not in fields, (method, path, fields)
        # The browser asks once for both writes.
        preflights = wait_for("preflights in the log", lambda: gateway.process.output.count('"OPTIONS /books/1 HTTP/1.1" 204'))
        assert preflights == 3 * 3, gateway.process.output
