"""A WebSocket server and its client, each of the `websockets` package, with the gateway between them."""

import threading

import pytest
import websockets
from websockets.sync.client import connect
from websockets.sync.server import serve


def echo(socket):
    if socket.request.path == "/close":
        socket.close(4001, "closed for stocktaking")
        return
    for message in socket:
        socket.send(message)


@pytest.fixture
def chat(gateway):
    """Where the gateway takes WebSockets."""
    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        yield gateway(f"http://127.0.0.1:{port}").url.replace("http://", "ws://")
        server.shutdown()


def test_messages_of_all_kinds_come_back(chat):
    with connect(chat + "/chat", max_size=None) as socket:
        for message in ("1984", b"\0\xff", "", "x" * (4 << 20), bytes(1 << 20)):
            socket.send(message)
            assert socket.recv(20) == message
        assert socket.ping().wait(20)


def test_the_server_says_why_it_closes(chat):
    with connect(chat + "/close") as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            socket.recv(20)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "closed for stocktaking")


def test_a_refused_handshake_is_an_answer_like_others(plain_api, gateway):
    chat = gateway(plain_api.url).url.replace("http://", "ws://")
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(chat + "/books/123")
    assert refused.value.response.status_code == 200
    assert b"1984" in refused.value.response.body or b"title" in refused.value.response.body
