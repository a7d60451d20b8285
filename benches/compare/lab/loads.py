"""The loads: wrk and h2load in closed loops, our own in open ones. Each answers with a dictionary of what it saw."""

import json
import math
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .machine import settle

LUA = Path(__file__).resolve().parent.parent / "lua"

# Clients that shake hands at once.
HANDSHAKERS = 8

# A load that has not ended so long after its time is stuck.
GRACE = 45


class Loads:
    """Where the tools are and on which core they run."""

    def __init__(self, core, tool, directory):
        self.core = core
        self.tool = tool
        self.directory = Path(directory)

    def wrk(self, port, path, seconds, *, script="one", args=(), headers=(), connections=64, scheme="http"):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
        command += ["-s", str(LUA / f"{script}.lua")]
        for header in headers:
            command += ["-H", header]
        command += [f"{scheme}://127.0.0.1:{port}{path}", "--", *map(str, args)]
        out = self.run(command, seconds + GRACE, {"COMPARE_LUA": str(LUA)})
        seen = json.loads(out[out.rindex("\n{") :])
        seen["per_second"] = seen["requests"] / (seen["micros"] / 1e6)
        return seen

    def h2load(self, port, path, seconds, scheme="http"):
        log = self.directory / "h2load"
        log.unlink(missing_ok=True)
        command = ["h2load", "-t1", "-c8", "-m16", "-D", str(seconds), f"--log-file={log}"]
        command.append(f"{scheme}://127.0.0.1:{port}{path}")
        out = self.run(command, seconds + GRACE)
        per_second = float(re.search(r"([\d.]+) req/s", out).group(1))
        done = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed", out)
        status = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        good, moved, refused, broken = map(int, status.groups())
        return {
            "requests": good + moved,
            "per_second": per_second,
            "failed": int(done.group(3)),
            "not_2xx_3xx": refused + broken,
            **latencies(int(line.rpartition("\t")[2]) for line in log.read_text().splitlines()),
        }

    def handshakes(self, port, path, seconds, resumed):
        """Connections one after the other from each of some clients: a handshake of TLS 1.3, a GET, the end. Those that are
        to resume a session do so from their second connection on."""
        # openssl takes it for a path, and adds a version of its own, which ends in a field then.
        target = f"{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nNote: not"
        command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-time", str(seconds)]
        command += ["-reuse" if resumed else "-new", "-www", target]
        started = time.monotonic()
        with ThreadPoolExecutor(HANDSHAKERS) as clients:
            outputs = list(clients.map(lambda _: self.run(command, seconds + GRACE), range(HANDSHAKERS)))
        took = time.monotonic() - started
        made = other = short = 0
        for out in outputs:
            # A mark for each connection: r for a session that was resumed.
            marks = "".join(line for line in out.splitlines() if re.fullmatch(r"[r*]+", line))
            right = marks.count("r" if resumed else "*")
            made, other = made + len(marks), other + len(marks) - right
            each = int(re.search(r"real seconds, (\d+) bytes read per connection", out).group(1))
            short += len(marks) if each < 1024 else 0
        return {"requests": made, "per_second": made / took, "failed": other, "not_2xx_3xx": short}

    def closed(self, port, request, seconds, connections=64):
        return self.own("closed", port, request, connections, seconds, seconds=seconds)

    def rate(self, port, request, rate, seconds, connections=64):
        return self.own("rate", port, request, rate, connections, seconds, seconds=seconds)

    def connect(self, port, request, rate, seconds):
        return self.own("connect", port, request, rate, seconds, seconds=seconds)

    def herd(self, port, request, clients):
        return self.own("herd", port, request, clients, seconds=30)

    def each(self, port, request, count, connections=64):
        """`@` in the request becomes 1 to `count`."""
        return self.own("each", port, request, count, connections, seconds=count / 1000)

    def own(self, kind, port, request, *args, seconds):
        octets = self.directory / "request"
        octets.write_bytes(request)
        command = [self.tool, kind, f"127.0.0.1:{port}", str(octets), *map(str, args)]
        seen = json.loads(self.run(command, seconds + GRACE))
        seen["requests"] = seen["answered"]
        seen["per_second"] = seen["answered"] / seconds
        return seen

    def run(self, command, timeout, env=None):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            preexec_fn=lambda: settle(self.core),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def request_of(port, path, headers=()):
    """The octets of a GET, with the Host that wrk sends: the same key."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def latencies(micros):
    """What the other loads tell of their latencies, of all of them in microseconds."""
    ranked = sorted(micros)
    if not ranked:
        return {}
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1}
    return {key: ranked[max(math.ceil(share * len(ranked)) - 1, 0)] for key, share in at.items()}
