"""The Flask and the FastAPI example behind one gateway: by prefix, by a rewritten path, and by host."""

import pytest
import requests
from conftest import cache_status

NEW = {"title": "Animal Farm", "author": "George Orwell"}


@pytest.fixture
def both(flask_api, fastapi_api, gateway):
    """Before the Flask API, and the FastAPI one, which clients know below `/fast`, as `/volumes`, and as a host."""
    return gateway(
        flask_api.url,
        more=f"""
[upstreams.fast]
servers = ["{fastapi_api.url}"]

[[route]]
match = "/fast/{{*rest}}"
upstream = "fast"
strip_prefix = "/fast"

[[route]]
match = "/volumes"
upstream = "fast"
rewrite = "/books"

[[route]]
match = "/volumes/{{id}}"
upstream = "fast"
rewrite = "/books/{{id}}"
invalidates = ["/volumes"]

[[route]]
host = "*.example.org"
upstream = "fast"
""",
    )


def call(both, method, path, host=None, **more):
    headers = {"Host": host} if host else {}
    return requests.request(method, both.url + path, headers=headers, timeout=20, allow_redirects=False, **more)


def test_each_api_answers_what_its_routes_take(both, flask_api, fastapi_api):
    for path, host, api, seen in [
        ("/books/123", None, flask_api, "/books/123"),
        ("/fast/books/123", None, fastapi_api, "/books/123"),
        ("/volumes/456", None, fastapi_api, "/books/456"),
        ("/books", "books.example.org", fastapi_api, "/books"),
        ("/books", "example.org", flask_api, "/books"),
    ]:
        before = api.requests_seen("GET", seen)
        answer = call(both, "GET", path, host)
        assert answer.status_code == 200, path
        assert cache_status(answer)["fwd"] == "uri-miss"
        assert api.requests_seen("GET", seen, before + 1) == before + 1, path
    # FastAPI makes strong ETags with quotes, Flask one without: each answer is its own API's.
    assert call(both, "GET", "/books/123").headers["ETag"] == "book-123"
    assert call(both, "GET", "/fast/books/123").headers["ETag"].startswith('"')
    assert cache_status(call(both, "GET", "/fast/books/123"))["hit"]


def test_a_write_through_a_rewritten_route_makes_its_list_fresh(both):
    def fresh(path):
        return cache_status(call(both, "GET", path)).get("hit") is None

    for path in ["/volumes", "/volumes/123", "/fast/books", "/fast/books/123"]:
        fresh(path)
        assert not fresh(path), path
    added = call(both, "POST", "/volumes", json=NEW)
    assert added.status_code == 201
    book = added.headers["Location"]
    assert book.startswith("/volumes/")
    listed = call(both, "GET", "/volumes")
    assert cache_status(listed)["fwd"] == "uri-miss"
    assert listed.json()[book.rpartition("/")[2]] == NEW
    # The same list under its other path.
    assert fresh("/fast/books")
    assert call(both, "GET", book).json() == NEW

    assert not fresh("/volumes/123")
    assert call(both, "PUT", "/volumes/123", json=NEW).status_code == 200
    assert call(both, "GET", "/volumes/123").json() == NEW
    assert fresh("/volumes") and fresh("/fast/books/123")
    # The other API's book of the same name was left alone.
    assert call(both, "GET", "/books/123").json()["title"] == "1984"


def test_a_location_leads_to_the_gateway_by_prefix_and_by_host(both):
    added = call(both, "POST", "/fast/books", json=NEW)
    assert added.headers["Location"].startswith("/fast/books/")
    assert call(both, "GET", added.headers["Location"]).json() == NEW
    added = call(both, "POST", "/books", "books.example.org", json=NEW)
    assert added.headers["Location"].startswith("/books/")
    assert call(both, "GET", added.headers["Location"], "books.example.org").json() == NEW


def test_one_api_that_is_down_leaves_the_other_alone(both, fastapi_api):
    assert fastapi_api.process.stop() is not None
    assert call(both, "GET", "/fast/books/456").status_code == 502
    assert call(both, "GET", "/books/456").status_code == 200
