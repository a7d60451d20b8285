"""The FastAPI API behind the gateway: errors pass whole and are not stored."""

import pytest
import requests
from conftest import cache_status, run_client_tests


def test_the_clients_pass_their_tests_through_the_gateway(fastapi_api, gateway):
    run_client_tests(gateway(fastapi_api.url).url)


@pytest.mark.parametrize(
    "path, status",
    [("/books/not-a-number", 422), ("/books/123/details", 500), ("/books/999", 404)],
)
def test_an_error_passes_whole_and_is_not_stored(fastapi_api, gateway, path, status):
    before = gateway(fastapi_api.url)
    straight = requests.get(fastapi_api.url + path, timeout=20)
    for _ in range(2):
        answer = requests.get(before.url + path, timeout=20)
        assert answer.status_code == straight.status_code == status
        assert answer.content == straight.content
        assert answer.headers["Content-Type"] == straight.headers["Content-Type"]
        assert cache_status(answer)["fwd"] == "uri-miss" and "stored" not in cache_status(answer)
    assert fastapi_api.requests_seen("GET", path, 3) == 3


def test_the_details_of_a_bad_body_pass_and_do_not_invalidate(fastapi_api, gateway):
    before = gateway(fastapi_api.url)
    requests.get(before.url + "/books/123", timeout=20)
    answer = requests.put(before.url + "/books/123", json={"title": ""}, timeout=20)
    assert answer.status_code == 422
    assert {tuple(error["loc"]) for error in answer.json()["detail"]} == {("body", "title"), ("body", "author")}
    assert cache_status(requests.get(before.url + "/books/123", timeout=20))["hit"]


def test_an_origins_etag_is_validated_when_the_client_insists(fastapi_api, gateway):
    before = gateway(fastapi_api.url)
    first = requests.get(before.url + "/books/123", timeout=20)
    again = requests.get(before.url + "/books/123", headers={"Cache-Control": "no-cache"}, timeout=20)
    assert again.json() == first.json() and cache_status(again)["fwd"] == "request"
