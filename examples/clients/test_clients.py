"""What the clients promise, against any book API: straight, or through the gateway. The address is all that changes.

    BOOKS_URL=http://127.0.0.1:8080 pytest test_clients.py
"""

import concurrent.futures
import os

import pytest
import requests

from book_client import BookClient
from session_client import SessionBookClient


@pytest.fixture(params=[BookClient, SessionBookClient])
def client(request):
    return request.param(os.environ["BOOKS_URL"])


@pytest.fixture
def book_id(client):
    """A book of this test's own, deleted afterwards."""
    _, location = client.add_book("Animal Farm", "George Orwell")
    book_id = int(location.rsplit("/", 1)[1])
    yield book_id
    client.delete_book(book_id)


def test_a_book_is_read(client):
    assert client.get_book(456) == {"title": "Brave New World", "author": "Aldous Huxley"}


def test_a_book_is_the_same_every_time(client, book_id):
    first = client.get_book(book_id)
    assert all(client.get_book(book_id) == first for _ in range(50))


def test_an_unknown_book_is_none(client):
    assert client.get_book(999_999) is None
    assert client.update_book(999_999, "t", "a") is None
    assert client.delete_book(999_999) is None


def test_an_added_book_is_read_and_listed(client, book_id):
    assert client.get_book(book_id)["title"] == "Animal Farm"
    assert client.list_books()[str(book_id)]["title"] == "Animal Farm"


def test_an_update_is_seen_by_the_next_read(client, book_id):
    for edition in range(10):
        title = f"Animal Farm, edition {edition}"
        assert client.update_book(book_id, title, "George Orwell")["title"] == title
        assert client.get_book(book_id)["title"] == title


def test_a_deleted_book_is_gone(client):
    _, location = client.add_book("Homage to Catalonia", "George Orwell")
    book_id = int(location.rsplit("/", 1)[1])
    assert client.get_book(book_id) is not None
    assert client.delete_book(book_id) is True
    assert client.get_book(book_id) is None


def test_a_book_added_after_it_was_not_found_is_found(client, book_id):
    next_id = book_id + 1
    assert client.get_book(next_id) is None
    _, location = client.add_book("Coming Up for Air", "George Orwell")
    assert int(location.rsplit("/", 1)[1]) == next_id
    assert client.get_book(next_id)["title"] == "Coming Up for Air"
    client.delete_book(next_id)


def test_a_review_is_seen_by_the_next_read(client, book_id):
    assert client.get_reviews(book_id) == {}
    assert client.add_review(book_id, 4, "Some are more equal")["rating"] == 4
    comments = [review["comment"] for review in client.get_reviews(book_id).values()]
    assert comments == ["Some are more equal"]


def test_a_bad_book_raises(client):
    with pytest.raises(requests.HTTPError) as raised:
        client.http.post(f"{client.base_url}/books", json={"title": "No author"}, timeout=10).raise_for_status()
    assert raised.value.response.status_code in (400, 422)


def test_many_clients_at_once_read_the_same_book(client, book_id):
    def read(_):
        return BookClient(os.environ["BOOKS_URL"]).get_book(book_id)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        books = list(pool.map(read, range(64)))
    assert all(book == books[0] for book in books)
