"""Uploads that real servers answer before they have read them: the client gets the server's answer, as it does without
the gateway, however the server ends the connection.
"""

import socket

import pytest
from conftest import Gateway
from real_servers import Server

SIZE = 20 * 1024 * 1024
TIMES = 12


def post(address, path, chunked):
    """Sends 20 MB as `curl` does, reading while it writes, until there is an answer; its status line."""
    head = f"POST {path} HTTP/1.1\r\nHost: api.example\r\nContent-Type: application/octet-stream\r\n"
    piece = bytes(64 * 1024)
    with socket.create_connection(address, timeout=20) as client:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
        client.sendall(f"{head}{framing}\r\n\r\n".encode())
        client.settimeout(0)
        left, received = SIZE, b""
        if chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        pending = piece
        while left > 0:
            try:
                received += client.recv(4096)
            except BlockingIOError:
                pass
            if b"\r\n" in received:
                break
            try:
                pending = pending[client.send(pending):]
            except BlockingIOError:
                continue
            except OSError:
                break
            if not pending:
                left, pending = left - 64 * 1024, piece
        client.settimeout(20)
        if left <= 0 and chunked:
            client.sendall(b"0\r\n\r\n")
        while b"\r\n" not in received:
            octets = client.recv(4096)
            if not octets:
                break
            received += octets
    return received.split(b"\r\n")[0].decode()


@pytest.fixture(params=["gunicorn", "gunicorn-threads", "hypercorn", "granian", "uvicorn", "express", "nginx", "apache"], scope="module")
def server(request):
    with Server(request.param) as running:
        yield running


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_that_the_server_refuses_at_once_gets_its_answer(server, chunked):
    with Gateway(server.url) as gateway:
        lines = [post(gateway.address, "/missing", chunked) for _ in range(TIMES)]
    wrong = [line for line in lines if line.split()[1:2] not in (["404"], ["413"], ["405"])]
    assert not wrong, f"{len(wrong)} of {TIMES}: {wrong[:3]}"
