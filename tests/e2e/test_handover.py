"""Restarts without a gap, under load: no request fails, no connection is refused."""

import re
import shutil
import signal
import subprocess
import threading

import pytest
import requests
from conftest import BOOKEND, PATIENCE, Process, free_port, wait_for

RESTARTS = 12
# Every fifth successor cannot serve.
FAILS = 5
BROKEN = "\n[mistake]\n"


class Load:
    """ApacheBench, which ends at the first connection that is refused or reset."""

    def __init__(self, url, *options):
        command = ["ab", "-q", "-l", "-n", "100000000", *options, url]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """How many requests were answered, and how many a second."""
        running = self.child.poll() is None
        self.child.send_signal(signal.SIGINT)
        output, _ = self.child.communicate(timeout=PATIENCE)
        assert running, f"a request failed: {output}"
        assert "Non-2xx responses" not in output, output
        assert re.search(r"Failed requests: +0\n", output), output
        answered = int(re.search(r"Complete requests: +(\d+)", output)[1])
        return answered, float(re.search(r"Requests per second: +([\d.]+)", output)[1])


class Writer:
    """Writes, each on a connection of its own: none is sent twice."""

    def __init__(self, url):
        self.url, self.written, self.failure, self.ends = url, 0, None, False
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        book = {"title": "Nineteen Eighty-Four", "author": "George Orwell"}
        try:
            while not self.ends:
                answer = requests.put(self.url, json=book, headers={"Connection": "close"}, timeout=PATIENCE)
                assert answer.status_code == 200, answer.text
                self.written += 1
        except Exception as failure:
            self.failure = failure

    def stop(self):
        self.ends = True
        self.thread.join(PATIENCE)
        assert self.failure is None, self.failure
        return self.written


def restart(process, pid):
    """Has the process `pid` start a successor. The successor's number, or `None` if it cannot serve."""
    seen = len(process.output)
    subprocess.run(["kill", "-USR2", str(pid)], check=True)
    done = r"handed over: the successor serves|handover failed: this process goes on"
    outcome = wait_for("the outcome of a handover", lambda: re.search(done, process.output[seen:]))[0]
    successor = int(re.search(r"a successor is started process=(\d+)", process.output[seen:])[1])
    return successor if outcome.startswith("handed") else None


def test_twelve_handovers_under_load(flask_api, gateway, tmp_path):
    gateway = gateway(flask_api.url, server="workers = 2", more='[log]\naccess = "off"')
    config = gateway.process.child.args[-1]
    text = open(config).read()
    url = f"{gateway.url}/books/123"
    loads = [
        Load(url, "-k", "-c", "16"),
        Load(url, "-c", "8"),
        Load(url, "-k", "-c", "2", "-H", "Cache-Control: no-cache"),
    ]
    writer = Writer(url)
    pid = gateway.process.child.pid
    try:
        for number in range(1, RESTARTS + 1):
            written = writer.written
            wait_for("writes between two handovers", lambda: writer.written >= written + 5 or writer.failure)
            if number % FAILS == 0:
                open(config, "w").write(text + BROKEN)
                assert restart(gateway.process, pid) is None
                open(config, "w").write(text)
            else:
                pid = restart(gateway.process, pid)
                assert pid, gateway.process.output
    finally:
        outcomes = [load.stop() for load in loads]
        written = writer.stop()
        subprocess.run(["kill", "-TERM", str(pid)], check=True)
    assert gateway.process.child.wait(PATIENCE) == 0
    answered = sum(count for count, _ in outcomes) + written
    rate = sum(rate for _, rate in outcomes)
    print(f"{answered} requests answered, {rate:.0f} a second, over {RESTARTS} handovers")


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_a_socket_of_systemd_is_served_and_handed_over(flask_api):
    address = f"127.0.0.1:{free_port()}"
    gateway = [BOOKEND, "run", "--listen", address, "--upstream", flask_api.url, "--admin", "off"]
    with Process(["systemd-socket-activate", "-l", address, *gateway]) as process:
        process.await_output("Listening on")
        url = f"http://{address}/books/123"
        # The first client has the gateway started, and waits for it.
        assert requests.get(url, timeout=PATIENCE).status_code == 200
        loads = [Load(url, "-k", "-c", "4"), Load(url, "-c", "4")]
        pid = process.child.pid
        try:
            for _ in range(3):
                pid = restart(process, pid)
                assert pid, process.output
        finally:
            for load in loads:
                load.stop()
            subprocess.run(["kill", "-TERM", str(pid)], check=True)
        assert process.child.wait(PATIENCE) == 0
