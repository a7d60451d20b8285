"""The Flask API behind the gateway: caching fields with an ETag that is wrong twice, a blueprint, streams."""

import json
import time

import requests
from conftest import cache_status, run_client_tests

NEW = {"title": "Nineteen Eighty-Four", "author": "George Orwell"}


def get(gateway, path, **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return requests.get(gateway.url + path, headers=headers, timeout=20, allow_redirects=False)


def test_a_book_is_a_miss_then_a_hit(flask_api, gateway):
    before = gateway(flask_api.url)
    first = get(before, "/books/123")
    assert cache_status(first)["fwd"] == "uri-miss" and cache_status(first)["stored"]
    second = get(before, "/books/123")
    assert cache_status(second)["hit"] and 0 < int(cache_status(second)["ttl"]) <= 3600
    assert int(second.headers["Age"]) >= 0
    assert second.content == first.content
    assert second.headers["ETag"] == "book-123"
    assert flask_api.requests_seen("GET", "/books/123", 1) == 1


def test_an_etag_without_quotes_still_gives_304(flask_api, gateway):
    before = gateway(flask_api.url)
    get(before, "/books/123")
    answer = get(before, "/books/123", If_None_Match="book-123")
    assert answer.status_code == 304 and cache_status(answer)["hit"]
    assert flask_api.requests_seen("GET", "/books/123", 1) == 1


def test_after_a_put_the_next_get_is_a_miss_with_the_new_title_though_the_etag_stays(flask_api, gateway):
    before = gateway(flask_api.url)
    old = get(before, "/books/123")
    assert requests.put(before.url + "/books/123", json=NEW, timeout=20).status_code == 200
    new = get(before, "/books/123")
    assert new.json() == NEW and cache_status(new)["fwd"] == "uri-miss"
    assert new.headers["ETag"] == old.headers["ETag"]
    assert get(before, "/books/123").json() == NEW


def test_a_route_may_replace_the_etag_by_one_that_follows_the_content(flask_api, gateway):
    before = gateway(flask_api.url, more='[[route]]\nmatch = "/books/{id}"\netag = "replace"')
    old = get(before, "/books/123").headers["ETag"]
    assert old.startswith('"') and old.endswith('"') and "book-123" not in old
    assert get(before, "/books/123", If_None_Match=old).status_code == 304
    requests.put(before.url + "/books/123", json=NEW, timeout=20)
    after = get(before, "/books/123", If_None_Match=old)
    assert after.status_code == 200 and after.json() == NEW
    assert after.headers["ETag"] != old


def test_the_clients_pass_their_tests_through_the_gateway(flask_api, gateway):
    run_client_tests(gateway(flask_api.url).url)


def test_the_redirect_for_the_missing_slash_leads_to_the_gateway(flask_api, gateway):
    before = gateway(flask_api.url)
    answer = get(before, "/books/123/reviews")
    assert answer.status_code == 308
    assert answer.headers["Location"] == before.url + "/books/123/reviews/"
    followed = requests.get(before.url + "/books/123/reviews", timeout=20)
    assert followed.json()["789"]["rating"] == 5
    assert get(before, "/books/123/reviews/1").json() == {"error": "Review not found"}


def test_each_line_of_a_stream_arrives_before_the_next_is_made(flask_api, gateway):
    before = gateway(flask_api.url)
    response = requests.get(before.url + "/books/stream?lines=4&pause=0.5", stream=True, timeout=20)
    arrived = []
    for line in response.iter_lines(chunk_size=None):
        arrived.append((time.time(), json.loads(line)["made"]))
    assert len(arrived) == 4
    for (arrival, _), (_, next_made) in zip(arrived, arrived[1:]):
        assert arrival < next_made


def test_an_endless_stream_passes_with_flat_memory(flask_api, gateway):
    before = gateway(flask_api.url)
    with requests.get(before.url + "/books/stream?endless=1&pause=0", stream=True, timeout=20) as response:
        received, resident = 0, []
        for chunk in response.iter_content(chunk_size=64 * 1024):
            received += len(chunk)
            if received // (4 * 1024 * 1024) > len(resident):
                resident.append(before.resident_bytes())
            if len(resident) == 8:
                break
    assert resident[-1] - resident[1] < 8 * 1024 * 1024, resident
    assert get(before, "/books/123").status_code == 200


def test_an_operators_cap_of_two_seconds_over_the_origins_hour_is_stale_after_two_seconds(flask_api, gateway):
    before = gateway(flask_api.url, more='[[route]]\nmatch = "/books/{id}"\nttl = "2s"\nttl_mode = "cap"')
    stored_at = time.monotonic()
    get(before, "/books/123")
    hits = 0
    while cache_status(answer := get(before, "/books/123")).get("hit"):
        hits += 1
        assert time.monotonic() - stored_at < 4
        time.sleep(0.05)
    assert hits > 5 and time.monotonic() - stored_at > 1
    assert cache_status(answer)["fwd"] == "stale"
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
