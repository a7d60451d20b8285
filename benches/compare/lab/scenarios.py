"""What is measured: each scenario fills the proxy where it has to, loads it, and knows what the origin may have seen."""

import http.client
import random
import ssl
import time
from bisect import bisect_left
from dataclasses import dataclass, field

from itertools import accumulate

from .loads import HANDSHAKERS, request_of
from .machine import file_limit

# What a browser sends along.
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://books.example/shelves/42?page=3",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Priority: u=0, i",
)

ETAG = 'If-None-Match: "5f3a-1024"'

# Keys of the skewed scenario, and clients of the herd.
KEYS = 10_000
HERD = 1_000
CONNECTIONS_PER_SECOND = 1_000
# HAProxy takes no more than half as many as the files that it may open.
CROWD = min(10_000, file_limit() // 2 - 250)

# Keys of which a gateway with `FAR_MEMORY_MIB` holds few in memory, so that hits come from its lower tier.
FAR_KEYS = 15_000
FAR_MEMORY_MIB = 6

# Requests that the paced load of the skewed scenario sends in turn.
DRAWN = 4_096


@dataclass
class Scenario:
    name: str
    title: str
    path: str
    # The least and the most of its requests that the origin may see.
    forwarded: tuple = (0.0, 0.001)
    headers: tuple = ()
    status: int = 200
    length: int = 1024
    # Also measured at a fixed rate, the same for all.
    paced: bool = False
    needs_h2: bool = False
    needs_tls: bool = False
    # The shortest run that tells something, in seconds.
    least: int = 1
    # Requests under way at once.
    connections: int = 64

    def prepare(self, lab, peer, tag):
        """Fills the proxy: the second answer to the same request must be like the first."""
        for _ in range(2):
            status, length = ask(peer.port, self.path_for(tag), self.headers)
            if (status, length) != (self.status, self.length if self.status == 200 else 0):
                raise RuntimeError(f"{peer.name}, {self.name}: status {status}, {length} bytes of content")

    def load(self, lab, peer, tag, seconds):
        path = self.path_for(tag)
        return lab.loads.wrk(peer.port, path, seconds, headers=self.headers, connections=self.connections)

    def path_for(self, tag):
        return self.path

    def requests(self, peer):
        """The octets of what the paced load sends."""
        return request_of(peer.port, self.path, self.headers)


class NotModified(Scenario):
    def load(self, lab, peer, tag, seconds):
        return lab.loads.closed(peer.port, request_of(peer.port, self.path, self.headers), seconds)


class Keys(Scenario):
    """Keys that are drawn, each as often as any other."""

    keys = FAR_KEYS
    drawn = "even"

    def prepare(self, lab, peer, tag):
        """Once: what is stored stays for hours."""
        if (peer.name, self.name) in lab.filled:
            return
        seen = lab.loads.each(peer.port, request_of(peer.port, f"{self.path}@"), self.keys)
        if seen["answered"] != self.keys:
            raise RuntimeError(f"{peer.name}, {self.name}: {seen}")
        lab.filled.add((peer.name, self.name))

    def load(self, lab, peer, tag, seconds):
        return lab.loads.wrk(peer.port, "/", seconds, script="keys", args=(self.path, self.keys, self.drawn))


class Skewed(Keys):
    """The n-th is asked for as often as 1/n."""

    keys = KEYS
    drawn = "skewed"

    def requests(self, peer):
        sums = list(accumulate(1 / n for n in range(1, KEYS + 1)))
        draw = random.Random(20261125)
        keys = (bisect_left(sums, draw.random() * sums[-1]) + 1 for _ in range(DRAWN))
        return b"".join(request_of(peer.port, f"{self.path}{key}") for key in keys)


class Unique(Scenario):
    def prepare(self, lab, peer, tag):
        pass

    def load(self, lab, peer, tag, seconds):
        return lab.loads.wrk(peer.port, "/", seconds, script="unique", args=(f"{self.path}{tag}/",))


class Http2(Scenario):
    def load(self, lab, peer, tag, seconds):
        return lab.loads.h2load(peer.h2_port, self.path, seconds)


class Tls(Scenario):
    """Over connections that are kept."""

    def prepare(self, lab, peer, tag):
        for _ in range(2):
            status, length = ask(peer.tls_port, self.path, tls=True)
            if (status, length) != (self.status, self.length):
                raise RuntimeError(f"{peer.name}, {self.name}: status {status}, {length} bytes of content")

    def load(self, lab, peer, tag, seconds):
        return lab.loads.wrk(peer.tls_port, self.path, seconds, connections=self.connections, scheme="https")


class TlsHttp2(Tls):
    def load(self, lab, peer, tag, seconds):
        return lab.loads.h2load(peer.tls_port, self.path, seconds, scheme="https")


class Handshakes(Tls):
    resumed = False

    def load(self, lab, peer, tag, seconds):
        return lab.loads.handshakes(peer.tls_port, self.path, seconds, self.resumed)


class Resumptions(Handshakes):
    resumed = True


class Connections(Scenario):
    def load(self, lab, peer, tag, seconds):
        request = request_of(peer.port, self.path, ("Connection: close",))
        return lab.loads.connect(peer.port, request, CONNECTIONS_PER_SECOND, seconds)


class Herd(Scenario):
    def prepare(self, lab, peer, tag):
        pass

    def load(self, lab, peer, tag, seconds):
        return lab.loads.herd(peer.port, request_of(peer.port, f"{self.path}{tag}"), HERD)


SCENARIOS = [
    Scenario("hit", "1 KB hit", "/small/hit", paced=True),
    Scenario("browser", "1 KB hit, a browser's fields", "/small/hit", headers=BROWSER, paced=True),
    NotModified("304", "304 for If-None-Match", "/small/hit", headers=(ETAG,), status=304, paced=True),
    Skewed("keys", "10,000 keys, skewed", "/small/key-", forwarded=(0.0, 0.02), paced=True),
    Scenario("large", "100 KB hit", "/large/hit", length=100 * 1024, paced=True),
    Scenario("variant", "gzip variant hit", "/coded/hit", headers=("Accept-Encoding: gzip",), length=1047, paced=True),
    Scenario("miss", "uncacheable miss", "/uncacheable/x", forwarded=(0.98, 1.02), paced=True),
    Unique("cold", "cold unique keys", "/small/cold-", forwarded=(0.98, 1.02)),
    Http2("h2", "1 KB hit, HTTP/2", "/small/hit", needs_h2=True, connections=128),
    Scenario("crowd", f"1 KB hit, {CROWD:,} connections", "/small/hit", connections=CROWD, least=5),
    Connections("connect", "1,000 new connections/s", "/small/hit"),
    Tls("tls", "1 KB hit, TLS", "/small/hit", needs_tls=True),
    TlsHttp2("tls-h2", "1 KB hit, TLS, HTTP/2", "/small/hit", needs_tls=True, connections=128),
    Handshakes("handshake", "full handshake and a hit, TLS 1.3", "/small/hit", needs_tls=True, connections=HANDSHAKERS),
    Resumptions("resume", "resumed handshake and a hit, TLS 1.3", "/small/hit", needs_tls=True, connections=HANDSHAKERS),
    Herd("herd", "herd of 1,000", "/herd/", forwarded=(0.0, 1.0)),
]

# With a tier below memory.
FAR = Keys("far", f"{FAR_KEYS:,} keys, drawn evenly, that memory does not hold", "/small/far-", forwarded=(0.0, 0.02))


@dataclass
class Measured:
    """One run of one scenario against one proxy."""

    per_second: float
    cpu_micros: float
    memory_mib: float
    origin_requests: int
    # Milliseconds of each second in which it could have run and had no core.
    waited_millis: float
    seen: dict = field(default_factory=dict)


def measure(lab, scenario, peer, tag, seconds):
    """Prepares, loads, and accounts. Fails when the proxy did something else than the scenario is about."""
    scenario.prepare(lab, peer, tag)
    return account(lab, scenario, peer, lambda: scenario.load(lab, peer, tag, max(seconds, scenario.least)))


def measure_paced(lab, scenario, peer, rate, seconds):
    """At a fixed rate in an open loop; the proxy is filled already."""
    return account(lab, scenario, peer, lambda: lab.loads.rate(peer.port, scenario.requests(peer), rate, seconds))


def account(lab, scenario, peer, load):
    before, cpu, waited = lab.origin_requests(), peer.process.cpu_seconds(), peer.process.waited_seconds()
    seen = load()
    cpu, waited = peer.process.cpu_seconds() - cpu, peer.process.waited_seconds() - waited
    origin_requests = lab.origin_requests() - before
    check(scenario, peer, seen, origin_requests)
    return Measured(
        per_second=seen["per_second"],
        cpu_micros=cpu * 1e6 / max(seen["requests"], 1),
        memory_mib=peer.process.memory_bytes() / 2**20,
        origin_requests=origin_requests,
        waited_millis=waited * 1e3 * seen["per_second"] / max(seen["requests"], 1),
        seen=seen,
    )


def check(scenario, peer, seen, origin_requests):
    where = f"{peer.name}, {scenario.name}"
    requests = seen["requests"]
    if seen["not_2xx_3xx"] or seen.get("differing") or seen["failed"] > requests / 1000:
        raise RuntimeError(f"{where}: not every answer was good: {seen}")
    low, high = scenario.forwarded
    # wrk stops in the middle of a request on each connection.
    slack = 36 + scenario.connections
    if not low * requests - slack <= origin_requests <= high * requests + slack:
        raise RuntimeError(f"{where}: {origin_requests} of {requests} requests reached the origin")


def ask(port, path, headers=(), tls=False):
    """Status and length of content of one GET."""
    if tls:
        # Whose certificate it is, is not the question.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        fields = dict(header.split(": ", 1) for header in headers)
        connection.request("GET", path, headers=fields)
        response = connection.getresponse()
        return response.status, len(response.read())
    finally:
        connection.close()


def fill(lab, peer, responses):
    """Stores so many responses of 1 KB; the bytes of memory that each took."""
    before = peer.process.memory_bytes()
    seen = lab.loads.each(peer.port, request_of(peer.port, "/small/fill-@"), responses)
    if seen["answered"] != responses or seen["not_2xx_3xx"]:
        raise RuntimeError(f"{peer.name}, fill: {seen}")
    # What is freed behind is freed by then.
    time.sleep(2)
    return (peer.process.memory_bytes() - before) / responses


def hit_among(lab, peer, responses, seconds, drawn):
    """The CPU of a hit among so many stored, `skewed` or `even`."""
    path = "/small/fill-"
    load = lab.loads.wrk
    return account(
        lab,
        Skewed("among", "", path),
        peer,
        lambda: load(peer.port, "/", seconds, script="keys", args=(path, responses, drawn)),
    ).cpu_micros
