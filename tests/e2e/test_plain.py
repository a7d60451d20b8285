"""An API without a single caching field: what the operator says is what counts."""

import requests
from conftest import cache_status, run_client_tests

FIVE_MINUTES = '[[route]]\nmatch = "/books/{id}"\nttl = "5m"\netag = "missing"'


def get(gateway, path, **headers):
    return requests.get(gateway.url + path, headers=headers, timeout=20)


def test_nothing_is_reused_unless_the_operator_says_so(plain_api, gateway):
    before = gateway(plain_api.url)
    for _ in range(2):
        assert cache_status(get(before, "/books/123"))["fwd"] == "uri-miss"


def test_with_a_ttl_of_the_operators_there_are_hits(plain_api, gateway):
    before = gateway(plain_api.url, more=FIVE_MINUTES)
    assert cache_status(get(before, "/books/123"))["stored"]
    hit = cache_status(get(before, "/books/123"))
    assert hit["hit"] and 290 <= int(hit["ttl"]) <= 300
    # The list is no book: its path has another route.
    get(before, "/books")
    assert "hit" not in cache_status(get(before, "/books"))


def test_the_gateway_makes_etags_and_304s(plain_api, gateway):
    before = gateway(plain_api.url, more=FIVE_MINUTES)
    tag = get(before, "/books/123").headers["ETag"]
    answer = get(before, "/books/123", **{"If-None-Match": tag})
    assert answer.status_code == 304 and cache_status(answer)["hit"]


def test_credentials_are_not_shared_by_the_operators_ttl(plain_api, gateway):
    before = gateway(plain_api.url, more=FIVE_MINUTES)
    get(before, "/books/123", Authorization="Bearer a")
    assert "hit" not in cache_status(get(before, "/books/123", Authorization="Bearer b"))
    assert "hit" not in cache_status(get(before, "/books/123"))


def test_the_clients_pass_their_tests_with_every_book_cached(plain_api, gateway):
    run_client_tests(gateway(plain_api.url, more=FIVE_MINUTES).url)
