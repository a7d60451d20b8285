"""A gateway before a gateway before the API is as correct as one."""

import pytest
import requests
from conftest import cache_status, run_client_tests, wait_for

NEW = {"title": "Nineteen Eighty-Four", "author": "George Orwell"}


@pytest.fixture
def layers(flask_api, gateway):
    inner = gateway(flask_api.url, server='name = "inner"')
    # The inner one is asked under its own name, straight or through the outer one.
    outer = gateway(inner.url, server='name = "outer"', upstream_keys='host = "upstream"')
    return outer, inner


def get(gateway):
    return requests.get(gateway.url + "/books/123", timeout=20)


def test_via_and_cache_status_list_both(layers):
    outer, _ = layers
    answer = get(outer)
    assert [member.split(" ")[1] for member in answer.headers["Via"].split(", ")] == ["inner", "outer"]
    assert [member.split(";")[0] for member in answer.headers["Cache-Status"].split(", ")] == ["inner", "outer"]


def test_ages_add_up(layers):
    outer, inner = layers
    get(inner)
    wait_for("an age of a second in the inner gateway", lambda: int(get(inner).headers["Age"]) >= 1)
    through_both = get(outer)
    assert cache_status(through_both)["fwd"] == "uri-miss"
    age = int(through_both.headers["Age"])
    assert age >= 1
    stored = get(outer)
    assert cache_status(stored)["hit"] and int(stored.headers["Age"]) >= age
    assert int(cache_status(stored)["ttl"]) <= 3600 - age
    wait_for("it ages in the outer gateway too", lambda: int(get(outer).headers["Age"]) > age)


def test_a_write_through_the_outer_one_is_seen_through_both(layers):
    outer, inner = layers
    for gateway in layers:
        get(gateway)
        assert cache_status(get(gateway))["hit"]
    assert requests.put(outer.url + "/books/123", json=NEW, timeout=20).status_code == 200
    assert get(outer).json() == NEW
    assert get(inner).json() == NEW


def test_the_clients_pass_their_tests_through_both(layers):
    outer, _ = layers
    run_client_tests(outer.url)
