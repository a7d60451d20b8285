"""The tools that people have at hand, in front of real servers: their own word that all went well is what counts."""

import re
import subprocess

import pytest
from conftest import Gateway
from real_servers import DATA, Server


def run(*command, status=0):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=120)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(params=["gunicorn-threads", "uvicorn", "express", "nginx"], scope="module")
def gateway(request):
    with Server(request.param) as server, Gateway(server.url) as running:
        yield running


@pytest.mark.parametrize("path", ["/books/1", "/books", "/stream", "/status/404", "/nothing"])
def test_ab_with_keep_alive_counts_no_failure(gateway, path):
    report = run("ab", "-q", "-k", "-n", 400, "-c", 8, gateway.url + path).decode()
    assert re.search(r"^Complete requests: +400$", report, re.MULTILINE), report
    # "Length" alone: an answer that is made anew may have another length, and that is what ab calls a failure.
    kinds = re.search(r"\(Connect: (\d+), Receive: (\d+), Length: \d+, Exceptions: (\d+)\)", report)
    assert kinds is None or kinds.groups() == ("0", "0", "0"), report


def test_h2load_counts_no_failure(gateway):
    report = run("h2load", "-n", 1000, "-c", 4, "-m", 16, gateway.url + "/books/1", gateway.url + "/static/data.txt").decode()
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in report, report


def test_curl_asks_for_a_head(gateway):
    head = run("curl", "-sSI", gateway.url + "/static/data.txt").decode()
    assert head.startswith("HTTP/1.1 200") and re.search(r"^content-length: 262144\r$", head, re.MULTILINE | re.IGNORECASE), head


def test_curl_speaks_http_1_0(gateway):
    assert run("curl", "-sS", "--http1.0", gateway.url + "/static/data.txt") == DATA
    stream = [gateway.url + "/stream", "-sS", "--http1.0", "-H", "Connection: keep-alive", "-w", "%{http_code}"]
    *lines, status = run("curl", *stream).decode().splitlines()
    assert (len(lines), status) == (100, "200") or status.endswith("404")


@pytest.mark.parametrize("before", [0, 10, 100_000, len(DATA) - 1])
def test_curl_goes_on_with_a_download(gateway, tmp_path, before):
    file = tmp_path / "data"
    file.write_bytes(DATA[:before])
    run("curl", "-sS", "-r", "0-9", "-o", "/dev/null", gateway.url + "/static/data.txt")
    run("curl", "-sS", "-C", "-", "-o", file, gateway.url + "/static/data.txt")
    assert file.read_bytes() == DATA


def test_wget_goes_on_with_a_download(gateway, tmp_path):
    file = tmp_path / "data.txt"
    run("curl", "-sS", "-r", "-5", "-o", "/dev/null", gateway.url + "/static/data.txt")
    file.write_bytes(DATA[:1000])
    run("wget", "-q", "-c", "-P", tmp_path, gateway.url + "/static/data.txt")
    assert file.read_bytes() == DATA


def test_a_file_larger_than_what_is_stored_goes_on_too(tmp_path):
    with Server("nginx") as server, Gateway(server.url, more='[cache]\nmax_stored_body = "64KiB"') as gateway:
        file = tmp_path / "data"
        for first in ("0-9", "0-", "-5", "1000-1999"):
            run("curl", "-sS", "-r", first, "-o", "/dev/null", gateway.url + "/static/data.txt")
            file.write_bytes(DATA[:10])
            run("curl", "-sS", "-C", "-", "-o", file, gateway.url + "/static/data.txt")
            assert file.read_bytes() == DATA, first
