"""gRPC's own server and client, the gateway between them. Messages are plain octets: no protoc is needed."""

import concurrent.futures
import threading

import grpc
import pytest

SERVICE = "books.Books"
ABSENT = "no such book"


class Books(grpc.GenericRpcHandler):
    def __init__(self):
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.asked = 0

    def service(self, call):
        handlers = {
            f"/{SERVICE}/Title": grpc.unary_unary_rpc_method_handler(self.title),
            f"/{SERVICE}/List": grpc.unary_stream_rpc_method_handler(self.list),
            f"/{SERVICE}/Count": grpc.stream_unary_rpc_method_handler(self.count),
            f"/{SERVICE}/Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            f"/{SERVICE}/Wait": grpc.unary_unary_rpc_method_handler(self.wait),
        }
        return handlers.get(call.method)

    def title(self, number, context):
        self.asked += 1
        if number != b"1984":
            context.abort(grpc.StatusCode.NOT_FOUND, ABSENT)
        context.set_trailing_metadata((("asked", str(self.asked)),))
        return b"Nineteen Eighty-Four"

    def list(self, length, context):
        for number in range(int(length)):
            yield b"book %d" % number

    def count(self, books, context):
        return b"%d" % sum(len(book) for book in books)

    def talk(self, words, context):
        for word in words:
            yield word.upper()

    def wait(self, request, context):
        if not context.add_callback(self.cancelled.set):
            self.cancelled.set()
        self.waiting.set()
        self.cancelled.wait(20)
        return b"too late"


@pytest.fixture
def books(gateway):
    """The servicer, and a channel to it through the gateway."""
    servicer = Books()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((servicer,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    between = gateway(f"http://127.0.0.1:{port}", upstream_keys='protocol = "h2c"')
    with grpc.insecure_channel(between.url.removeprefix("http://")) as channel:
        yield servicer, channel
    server.stop(None)


def test_a_call_and_its_status_and_trailing_metadata(books):
    _, channel = books
    title = channel.unary_unary(f"/{SERVICE}/Title")
    for asked in ("1", "2"):
        answer, call = title.with_call(b"1984", timeout=20)
        assert answer == b"Nineteen Eighty-Four"
        assert dict(call.trailing_metadata())["asked"] == asked, "nothing of it is stored"
        assert "via" in dict(call.initial_metadata())
    with pytest.raises(grpc.RpcError) as failed:
        title(b"1985", timeout=20)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert failed.value.details() == ABSENT
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(f"/{SERVICE}/Burn")(b"1984", timeout=20)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_streams_in_each_direction(books):
    _, channel = books
    listed = list(channel.unary_stream(f"/{SERVICE}/List")(b"1000", timeout=20))
    assert listed == [b"book %d" % number for number in range(1000)]
    megabytes = (bytes(1 << 20) for _ in range(16))
    assert channel.stream_unary(f"/{SERVICE}/Count")(megabytes, timeout=20) == b"%d" % (16 << 20)


def test_a_conversation_word_by_word(books):
    _, channel = books
    heard = threading.Semaphore()

    def words():
        for word in (b"big", b"brother", b"is", b"watching"):
            # Not before the word before it has come back.
            assert heard.acquire(timeout=20)
            yield word

    answers = []
    for answer in channel.stream_stream(f"/{SERVICE}/Talk")(words(), timeout=20):
        answers.append(answer)
        heard.release()
    assert answers == [b"BIG", b"BROTHER", b"IS", b"WATCHING"]


def test_a_deadline_reaches_the_server(books):
    servicer, channel = books
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(f"/{SERVICE}/Wait")(b"", timeout=1)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert servicer.cancelled.wait(20)


def test_a_call_that_is_cancelled_is_cancelled_at_the_server(books):
    servicer, channel = books
    call = channel.unary_unary(f"/{SERVICE}/Wait").future(b"")
    assert servicer.waiting.wait(20)
    call.cancel()
    assert servicer.cancelled.wait(20)
