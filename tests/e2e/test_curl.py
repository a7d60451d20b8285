"""What curl shows: HTTP/2, ranges, codings, conditions, trailers."""

import gzip
import http.server
import subprocess
import threading

import pytest


def curl(*args):
    """Status, fields by lower-case name (the last of each), content."""
    command = ["curl", "-s", "-S", "-D", "/dev/stderr", "--max-time", "20", *args]
    run = subprocess.run(command, capture_output=True, check=True)
    head = [line for line in run.stderr.decode().splitlines() if line.strip()]
    fields = (line.partition(":") for line in head if ":" in line)
    return head[0].split()[1], {name.lower(): value.strip() for name, _, value in fields}, run.stdout


class Coded(http.server.BaseHTTPRequestHandler):
    """A list that comes compressed to whom it may; `/trailers` in chunks, with a trailer, and not to be stored."""

    protocol_version = "HTTP/1.1"
    content = b'{"books": "' + b"1984 " * 400 + b'"}'

    def do_GET(self):
        coded = "gzip" in self.headers.get("Accept-Encoding", "")
        octets = gzip.compress(self.content) if coded else self.content
        self.send_response(200)
        self.send_header("Cache-Control", "no-store" if self.path == "/trailers" else "max-age=60")
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Content-Type", "application/json")
        if coded:
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/trailers":
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "X-Books")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n0\r\nX-Books: 2\r\n\r\n" % (len(octets), octets))
        else:
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

    def log_message(self, format, *args):
        """Silent."""


@pytest.fixture
def coded_api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Coded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_http2_by_prior_knowledge_shares_what_is_stored(flask_api, gateway):
    url = gateway(flask_api.url).url + "/books/123"
    _, _, content = curl(url)
    run = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "-w", "\n%{http_version} %header{cache-status}", url],
        capture_output=True,
        check=True,
    )
    got, _, account = run.stdout.rpartition(b"\n")
    assert got == content
    assert account.startswith(b"2 ") and b"; hit" in account


def test_ranges_are_served_from_the_store(flask_api, gateway):
    url = gateway(flask_api.url).url + "/books/123"
    _, _, whole = curl(url)
    for wanted, part in [("0-8", whole[:9]), ("5-", whole[5:]), ("-5", whole[-5:])]:
        status, fields, content = curl("-r", wanted, url)
        assert (status, content) == ("206", part)
        assert fields["content-range"].endswith(f"/{len(whole)}")
    status, fields, _ = curl("-r", "9999-", url)
    assert (status, fields["content-range"]) == ("416", f"bytes */{len(whole)}")


def test_compressed_and_plain_are_variants_of_one_resource(coded_api, gateway):
    url = gateway(coded_api).url + "/books"
    assert curl("--compressed", url)[2] == Coded.content
    status, fields, content = curl("--compressed", url)
    assert content == Coded.content and fields["content-encoding"] == "gzip" and "; hit" in fields["cache-status"]
    _, fields, content = curl(url)
    assert content == Coded.content and "content-encoding" not in fields
    assert "fwd=vary-miss" in fields["cache-status"]


def test_a_condition_that_curl_saved_gives_304(fastapi_api, gateway, tmp_path):
    url = gateway(fastapi_api.url).url + "/books/123"
    curl("--etag-save", str(tmp_path / "etag"), url)
    status, fields, content = curl("--etag-compare", str(tmp_path / "etag"), url)
    assert (status, content) == ("304", b"") and "; hit" in fields["cache-status"]


def test_trailers_pass_to_whom_asks_for_them(coded_api, gateway):
    url = gateway(coded_api).url + "/trailers"
    _, fields, content = curl("-H", "TE: trailers", "-H", "Connection: TE", url)
    assert fields.get("x-books") == "2" and content == Coded.content


def test_who_may_ask_what_is_answered_here_and_what_pages_may_read(coded_api, gateway, tmp_path):
    hashed = subprocess.run(["openssl", "passwd", "-6", "sesame"], capture_output=True, check=True).stdout.decode().strip()
    users = tmp_path / "staff.htpasswd"
    users.write_text(f"alice:{hashed}\n")
    running = gateway(
        coded_api,
        more=f"""
[[route]]
match = "/staff/{{id}}"
auth = {{ basic_file = "{users}", realm = "Staff" }}
[[route]]
match = "/old/{{id}}"
respond = {{ status = 308, location = "/new/{{id}}" }}
[[route]]
match = "/down"
respond = {{ status = 503, body = "Back at noon.", retry_after = "5m" }}
[[route]]
match = "/pages"
cors = {{ origins = ["https://app.example.org"] }}
[[route]]
match = "/inner"
deny = ["127.0.0.0/8"]
""",
    )
    url = running.url
    status, fields, _ = curl(f"{url}/staff/1")
    assert (status, fields["www-authenticate"]) == ("401", 'Basic realm="Staff", charset="UTF-8"')
    assert curl("-u", "alice:wrong", f"{url}/staff/1")[0] == "401"
    assert curl("-u", "alice:sesame", f"{url}/staff/1")[2] == Coded.content
    assert "; hit" in curl("-u", "alice:sesame", f"{url}/staff/1")[1]["cache-status"]
    assert curl(f"{url}/inner")[0] == "403"

    followed = subprocess.run(["curl", "-s", "-L", "-o", "/dev/null", "-w", "%{url_effective}", f"{url}/old/7?a=b"], capture_output=True, check=True)
    assert followed.stdout.decode() == f"{url}/new/7?a=b"
    status, fields, content = curl("--data", "x" * 100_000, f"{url}/down")
    assert (status, fields["retry-after"], content) == ("503", "300", b"Back at noon.")

    page = ["-H", "Origin: https://app.example.org"]
    status, fields, _ = curl("-X", "OPTIONS", *page, "-H", "Access-Control-Request-Method: PUT", f"{url}/pages")
    assert (status, fields["access-control-allow-methods"]) == ("204", "PUT")
    for origin, allowed in [("https://app.example.org", "https://app.example.org"), ("https://evil.example", None)]:
        _, fields, _ = curl("-H", f"Origin: {origin}", f"{url}/pages")
        assert fields.get("access-control-allow-origin") == allowed
