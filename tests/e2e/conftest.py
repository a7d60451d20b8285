"""Real book APIs, the gateway's real binary before them, and real clients: each a process of its own.

    BOOKEND=target/release/bookend BOOKEND_E2E_NODE_MODULES=target/e2e-node/node_modules pytest tests/e2e

What they need of other programs and packages, `.ci/run` installs.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BOOKEND = pathlib.Path(os.environ.get("BOOKEND", ROOT / "target" / "release" / "bookend")).resolve()
# Long: only a failure ever waits for so long.
PATIENCE = 20


def wait_for(what, reached, patience=PATIENCE):
    """The first true result of `reached`, asked again and again."""
    deadline = time.monotonic() + patience
    while not (result := reached()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain: {what}"
        time.sleep(0.01)
    return result


class Process:
    """A child whose output is kept, and can be waited for."""

    def __init__(self, command, cwd=ROOT, env=None):
        self.output = ""
        self.child = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.output += line

    def await_output(self, pattern):
        def found():
            match = re.search(pattern, self.output)
            assert match or self.child.poll() is None, f"it ended: {self.output}"
            return match

        return wait_for(f"{pattern!r} in the output of {self.child.args}", found)

    def stop(self, by=signal.SIGTERM):
        """The exit status."""
        self.child.send_signal(by)
        status = self.child.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.child.stdout.close()


class Api:
    """A book API on a port of its own choice, which its server prints."""

    def __init__(self, process):
        self.process = process
        self.url = process.await_output(r"http://127\.0\.0\.1:\d+")[0]

    def requests_seen(self, method, path, awaited=0):
        """How often its own log says that it was asked, once that is `awaited` or more: a line comes a moment after the answer.
        For Flask and FastAPI."""
        seen = lambda: len(re.findall(rf'{method} {re.escape(path)} HTTP', self.process.output))
        wait_for(f"{awaited} of {method} {path} in the API's log", lambda: seen() >= awaited)
        return seen()


def start_flask():
    return Process([sys.executable, "-m", "flask", "--app", "app", "run", "--port", "0"], EXAMPLES / "flask_books", {"NO_COLOR": "1"})


def start_fastapi():
    return Process([sys.executable, "-m", "uvicorn", "app:app", "--port", "0"], EXAMPLES / "fastapi_books")


def start_plain():
    return Process([sys.executable, "app.py", "--port", "0"], EXAMPLES / "plain_books")


def started(start):
    @pytest.fixture
    def api():
        with start() as process:
            yield Api(process)

    return api


flask_api = started(start_flask)
fastapi_api = started(start_fastapi)
plain_api = started(start_plain)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """The gateway before `upstream`. `server` and `upstream_keys` are lines for those tables; `more` is any further TOML."""

    def __init__(self, upstream, server="", upstream_keys="", more=""):
        port, admin = free_port(), free_port()
        self.address = ("127.0.0.1", port)
        self.url, self.admin_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        self.folder = tempfile.TemporaryDirectory(prefix="bookend-e2e-")
        config = pathlib.Path(self.folder.name) / "config.toml"
        config.write_text(
            f'[server]\nlisten = "127.0.0.1:{port}"\n{server}\n'
            f'[upstream]\nservers = ["{upstream}"]\n{upstream_keys}\n'
            f'[admin]\nlisten = "127.0.0.1:{admin}"\n{more}\n'
        )
        self.config = config
        self.restart()

    def restart(self):
        self.process = Process([BOOKEND, "run", "--config", self.config])
        self.process.await_output(rf"listening.*\b{self.address[1]}\b")

    def metric(self, name):
        """The sum over all labels."""
        text = requests.get(f"{self.admin_url}/metrics", timeout=PATIENCE).text
        values = re.findall(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        assert values, f"{name} is not among the metrics: {text}"
        return sum(map(float, values))

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.__exit__(*exception)
        self.folder.cleanup()


@pytest.fixture
def gateway():
    """Starts gateways: `gateway(api.url, more="[[route]] …")`."""
    with contextlib.ExitStack() as running:
        yield lambda *args, **kwargs: running.enter_context(Gateway(*args, **kwargs))


def cache_status(response):
    """The parameters that the cache nearest to us gives: `{"hit": True, "ttl": "59"}`."""
    last = response.headers["Cache-Status"].split(", ")[-1]
    parameters = (part.strip().partition("=") for part in last.split(";")[1:])
    return {name: value or True for name, _, value in parameters}


def run_client_tests(url):
    """Runs the clients' own tests against that address."""
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES / "clients" / "test_clients.py"],
        env={**os.environ, "BOOKS_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    return tests.stdout
