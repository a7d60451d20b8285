"""Spans as OpenTelemetry's own messages read them: `opentelemetry-proto`, from PyPI, knows nothing of the gateway's."""

import http.server
import threading

import pytest
import requests
from conftest import PATIENCE, wait_for
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(http.server.ThreadingHTTPServer):
    """Takes what OTLP says over HTTP, and keeps it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def spans(self):
        resources = (resource for request in self.requests for resource in request.resource_spans)
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def await_spans(self, count):
        wait_for(f"{count} spans", lambda: len(self.spans()) >= count)
        assert len(self.spans()) == count
        return self.spans()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        is_traces = (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        if is_traces and self.headers["Authorization"] == "Bearer sesame":
            self.server.requests.append(ExportTraceServiceRequest.FromString(content))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if is_traces else 400)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    with Collector() as running:
        yield running
        running.shutdown()


def unknown_fields(message):
    """Numbers of fields that the message's type does not have, in it or in what it holds."""
    yield from (field.field_number for field in UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type:
            for part in value if isinstance(value, list) or hasattr(value, "add") else [value]:
                yield from unknown_fields(part)


def said(attributes):
    values = ((attribute.key, attribute.value) for attribute in attributes)
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values}


def test_spans_are_read_by_others(plain_api, gateway, collector):
    running = gateway(
        plain_api.url,
        server='name = "edge-1"',
        more=f'[traces]\nendpoint = "{collector.url}"\nsample = 0.0\ninterval = "5ms"\nheaders = ["Authorization: Bearer sesame"]\n'
        '[[route]]\nmatch = "/books/{id}"\nttl = "5m"',
    )
    parent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}

    def ask(path, expected):
        assert requests.get(running.url + path, headers=parent, timeout=PATIENCE).status_code == expected

    ask("/books/123", 200)
    collector.await_spans(2)
    ask("/books/123", 200)
    collector.await_spans(3)
    ask("/nothing", 404)
    spans = collector.await_spans(5)
    assert [list(unknown_fields(request)) for request in collector.requests] == [[]] * len(collector.requests)
    # They are all of the client's trace, and each attempt belongs to a request.
    servers = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    clients = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
    assert (len(servers), len(clients)) == (3, 2)
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.parent_span_id.hex() for span in servers} == {SPAN}
    assert {span.trace_state for span in servers} == {"a=b"}
    assert {span.parent_span_id for span in clients} < {span.span_id for span in servers}
    assert all(span.flags == 0x301 for span in servers) and all(span.flags == 0x101 for span in clients)
    for span in spans:
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
    miss, hit, nothing = sorted(servers, key=lambda span: span.start_time_unix_nano)
    assert (miss.name, nothing.name) == ("GET /books/{id}", "GET")
    told = said(miss.attributes)
    assert told["http.route"] == "/books/{id}" and told["http.response.status_code"] == 200
    assert (told["url.path"], told["client.address"]) == ("/books/123", "127.0.0.1")
    results = [said(span.attributes)["bookend.cache.result"] for span in (miss, hit, nothing)]
    assert results == ["miss", "hit", "miss"]
    assert said(hit.attributes)["bookend.cache.ttl"] > 200
    # A 404 is an error of the attempt's alone.
    failed = next(span for span in clients if said(span.attributes)["http.response.status_code"] == 404)
    assert failed.status.code == Status.STATUS_CODE_ERROR and said(failed.attributes)["error.type"] == "404"
    assert nothing.status.code == Status.STATUS_CODE_UNSET
    resource = said(collector.requests[0].resource_spans[0].resource.attributes)
    assert resource["service.name"] == "edge-1"


def test_the_last_spans_are_sent_at_the_end(plain_api, gateway, collector):
    traces = f'[traces]\nendpoint = "{collector.url}"\nsample = 1\ninterval = "1m"\nheaders = ["Authorization: Bearer sesame"]'
    running = gateway(plain_api.url, more=traces)
    assert requests.get(f"{running.url}/books/123", timeout=PATIENCE).ok
    assert collector.spans() == []
    assert running.process.stop() == 0
    assert len(collector.spans()) == 2
