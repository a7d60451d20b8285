"""The same exchange, once directly and once through the gateway, must not differ: real frameworks and servers, and what
clients ask of them. Each request goes through the gateway several times, so that it meets an empty store, its own
response, and those of the requests before it.
"""

import gzip
import http.client
import random
import re
import zlib

import pytest
from conftest import Gateway
from real_servers import DATA, Server

PATHS = [
    "/static/data.txt",
    "/static/none.txt",
    "/books",
    "/books/1",
    "/private",
    "/language",
    "/shared",
    "/session",
    "/status/400",
    "/status/404",
    "/status/410",
    "/status/422",
    "/status/500",
    "/status/503",
    "/moved",
    "/nothing",
    "/stream",
]
ADA, BOB = {"Authorization": "Bearer ada"}, {"Authorization": "Bearer bob"}
# What a request may bring along; `ETAG` and `DATE` are those that the server gave, directly, to the same client.
FIELDS = [
    {},
    {"Accept-Encoding": "gzip"},
    {"Accept-Encoding": "identity"},
    {"Accept-Encoding": "gzip, deflate, br, zstd"},
    {"Accept-Encoding": "br;q=1.0, gzip;q=0.2, identity;q=0"},
    {"Accept-Language": "de"},
    {"Accept-Language": "fr, en;q=0.5"},
    {"Accept-Language": "nl"},
    {"Origin": "http://app.example"},
    {"Origin": "http://evil.example"},
    {"Cookie": "visit=1"},
    {"Cookie": "visit=1; analytics=abc"},
    {"Cache-Control": "no-cache"},
    {"Cache-Control": "no-cache", "If-None-Match": "ETAG"},
    {"Cache-Control": "max-age=0", "If-None-Match": "ETAG"},
    {"If-None-Match": "ETAG"},
    {"If-None-Match": "ETAG", "Accept-Encoding": "gzip"},
    {"If-None-Match": '"another", ETAG'},
    {"If-None-Match": '"another"'},
    {"If-Modified-Since": "DATE"},
    {"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=10-"},
    {"Range": "bytes=-5"},
    {"Range": "bytes=0-"},
    {"Range": "bytes=0-9", "Accept-Encoding": "gzip"},
    {"Range": "bytes=99999999-"},
    {"Range": "bytes=0-9", "If-Range": "ETAG"},
    {"Range": "bytes=0-9", "If-Range": '"another"'},
    {"Range": "bytes=0-9", "If-Range": "DATE"},
    {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"},
]
# Not of the representation, or of the hop.
HOP = {"age", "via", "cache-status", "date", "connection", "keep-alive", "transfer-encoding", "content-length", "server"}
# What a 304 need not repeat (RFC 9110 §15.4.5), and servers treat as they like.
OF_CONTENT = {"content-type", "content-encoding", "content-language", "last-modified", "accept-ranges", "content-range", "content-location"}


class Response:
    def __init__(self, response):
        self.status, self.reason, self.content = response.status, response.reason, response.read()
        self.fields = {}
        for name, value in response.getheaders():
            name = name.lower()
            self.fields[name] = f"{self.fields[name]}, {value}" if name in self.fields else value

    def decoded(self):
        coding = self.fields.get("content-encoding", "identity")
        if not self.content or self.status == 206:
            return self.content
        if coding == "gzip":
            return gzip.decompress(self.content)
        if coding == "deflate":
            return zlib.decompress(self.content)
        if coding == "br":
            import brotli

            return brotli.decompress(self.content)
        if coding == "zstd":
            from backports import zstd

            return zstd.decompress(self.content)
        return self.content

    def compared(self):
        """The fields that the gateway has no say in, in a form that does not depend on their order."""
        fields = {name: value for name, value in self.fields.items() if name not in HOP}
        for name in {"vary", "allow", "cache-control", "access-control-expose-headers"} & fields.keys():
            fields[name] = {member.strip().lower() for member in fields[name].split(",")}
        if "expires" in fields:
            fields["expires"] = "a date" if "GMT" in fields["expires"] else fields["expires"]
        return fields


class Client:
    """One kept connection, which is made anew when the server has closed it."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(*address, timeout=20)

    def send(self, method, path, fields, content=None):
        for attempt in (1, 2):
            try:
                self.connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in {"Host": "api.example", **fields}.items():
                    self.connection.putheader(name, value)
                if content is not None:
                    self.connection.putheader("Content-Length", str(len(content)))
                self.connection.endheaders(content)
                return Response(self.connection.getresponse())
            except (http.client.RemoteDisconnected, ConnectionError):
                self.connection.close()
                if attempt == 2:
                    raise

    def close(self):
        self.connection.close()


def explain_difference(request, direct, through, whole):
    """Why `through` is no fair answer where the server says `direct`, and `whole` to a plain GET; None where it is one."""
    method, _, fields = request
    if through.status != direct.status:
        return explain_status(method, fields, direct, through, whole)
    if through.status == 206 and through.fields.get("content-encoding") != direct.fields.get("content-encoding"):
        # The server compresses whole responses only; what is stored has parts in either form.
        return None if is_part_of(whole, through) else "not a part of the whole"
    # A HEAD is answered as a GET would be; servers may leave out what only making the content tells (RFC 9110 §9.3.2).
    alternatives = [direct] if method == "GET" else [direct, whole]
    differences = [different_field(fields, alternative, through) for alternative in alternatives]
    if all(differences):
        return differences[0]
    if through.status != 416 and through.decoded() != direct.decoded():
        return f"content of {len(through.content)} octets instead of {len(direct.content)}"
    return None


def explain_status(method, fields, direct, through, whole):
    """Why another status than the server's is no fair answer; None where it is one."""
    ranged = "Range" in fields and direct.status == 200
    fair = [
        # Range is for GET alone (RFC 9110 §14.2).
        method == "HEAD" and through.status == 200 and direct.status in (206, 416),
        # If-Range has to be looked at (RFC 9110 §13.1.5), and some servers do not.
        "If-Range" in fields and through.status == 200 and direct.status == 206,
        # The server has no ranges here, the store has. What is compressed on the way has other octets each time.
        ranged and through.status == 206 and ("content-encoding" in through.fields or is_part_of(whole, through)),
        ranged and through.status == 416 and through.fields["content-range"] == f"bytes */{len(whole.content)}",
        # The server does not look at the condition, though it gave the tag.
        through.status == 304 and direct.status == 200 and through.fields.get("etag", "-") in fields.get("If-None-Match", ""),
    ]
    return None if any(fair) else f"status {through.status} instead of {direct.status}"


def is_part_of(whole, part):
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", part.fields["content-range"])
    first, last, length = map(int, found.groups())
    return length == len(whole.content) and part.content == whole.content[first : last + 1]


def different_field(request_fields, direct, through):
    """The first field that is another than the server's, in words; None where there is none."""
    ours, theirs = through.compared(), direct.compared()
    # What the gateway has seen a URL's responses vary on, it goes on saying.
    if theirs.get("vary", set()) <= ours.get("vary", set()):
        ours.pop("vary", None), theirs.pop("vary", None)
    names = ours.keys() | theirs.keys()
    origin, allowed = request_fields.get("Origin"), ours.get("access-control-allow-origin")
    if origin and allowed not in (None, "*", origin) and "access-control-allow-origin" not in theirs:
        # The page may read no more of what names another origin than of what names none (Fetch, "CORS check").
        names = {name for name in names if not name.startswith("access-control-")}
    if through.status == 416:
        # Whatever a page needs to read it, and more if the server has no such word for it.
        names = {name for name in theirs if name == "vary" or name.startswith("access-control-")}
    if through.status == 304:
        names = theirs.keys() - OF_CONTENT
        for side in (ours, theirs):
            side["etag"] = side.get("etag", "").removeprefix("W/")
    if through.status == 206:
        names -= {"accept-ranges"}
        if "If-Range" in request_fields:
            # RFC 9110 §15.3.7: the client has them.
            names -= OF_CONTENT
    for name in sorted(names):
        if ours.get(name) != theirs.get(name):
            return f"{name}: {ours.get(name)!r} instead of {theirs.get(name)!r}"
    return None


def with_validators(fields, known):
    """`fields` with the validators that the server gave; None where it gave none."""
    filled = {}
    for name, value in fields.items():
        for word, validator in (("ETAG", known.get("etag")), ("DATE", known.get("last-modified"))):
            if word in value:
                if validator is None or (name == "If-Range" and validator.startswith("W/")):
                    return None
                value = value.replace(word, validator)
        filled[name] = value
    return filled


def exchanges(direct):
    """Every request, with its direct answer and the whole representation that it selects."""
    for path in PATHS:
        for client in [{}, ADA, BOB] if path == "/private" else [{}, ADA]:
            for fields in FIELDS:
                selecting = {name: value for name, value in fields.items() if name.startswith("Accept")}
                whole = direct.send("GET", path, {**client, **selecting})
                filled = with_validators(fields, whole.fields)
                if filled is None:
                    continue
                for method in ("GET", "HEAD"):
                    request = (method, path, {**client, **filled})
                    yield request, direct.send(*request), whole


# A framework once each: what serves it differs in how it reads uploads and closes connections.
ONCE_EACH = ["gunicorn-threads", "django", "uvicorn", "express", "nginx", "apache"]


@pytest.fixture(params=ONCE_EACH, scope="module")
def server(request):
    with Server(request.param) as running:
        yield running


def test_an_exchange_through_the_gateway_is_as_without_it(server):
    direct = Client(server.address)
    known = list(exchanges(direct))
    differences = []
    with Gateway(server.url) as gateway:
        through = Client(gateway.address)
        for round, seed in enumerate((None, 1, 2)):
            order = list(known)
            if seed is not None:
                random.Random(seed).shuffle(order)
            for request, expected, whole in order:
                answer = through.send(*request)
                why = explain_difference(request, expected, answer, whole)
                if why:
                    differences.append(f"round {round}: {request}: {why}; {answer.fields.get('cache-status')}")
        through.close()
    direct.close()
    print(f"{server.name}: {3 * len(known)} exchanges")
    assert not differences, f"{len(differences)} of {3 * len(known)}:\n" + "\n".join(differences[:60])


def test_a_write_through_the_gateway_is_seen_at_once(server):
    if server.name in ("nginx", "apache"):
        return
    with Gateway(server.url) as gateway:
        through = Client(gateway.address)
        json = {"Content-Type": "application/json"}
        for title in ("Brave New World", "1984"):
            through.send("GET", "/books/1", {})
            assert through.send("PUT", "/books/1", json, b'{"title": "%b"}' % title.encode()).status == 200
            assert title.encode() in through.send("GET", "/books/1", {}).content
        through.close()


def test_data_is_what_the_tests_think_it_is(server):
    client = Client(server.address)
    assert client.send("GET", "/static/data.txt", {}).content == DATA
    client.close()
