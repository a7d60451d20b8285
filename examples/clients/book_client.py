"""A client of the book API: a class around `requests`, as people write them. It knows nothing of the gateway."""

import requests


class BookClient:
    def __init__(self, base_url, http=requests):
        self.base_url = base_url.rstrip("/")
        self.http = http

    def get_book(self, book_id):
        """The book, or None when there is none."""
        return self._result(self.http.get(self._book(book_id), timeout=10))

    def add_book(self, title, author):
        book = {"title": title, "author": author}
        response = self.http.post(f"{self.base_url}/books", json=book, timeout=10)
        return self._result(response), response.headers["Location"]

    def update_book(self, book_id, title, author):
        book = {"title": title, "author": author}
        return self._result(self.http.put(self._book(book_id), json=book, timeout=10))

    def delete_book(self, book_id):
        """True when the book was deleted, None when there was none."""
        response = self.http.delete(self._book(book_id), timeout=10)
        if response.status_code == 204:
            return True
        return self._result(response)

    def list_books(self):
        return self._result(self.http.get(f"{self.base_url}/books", timeout=10))

    def add_review(self, book_id, rating, comment):
        review = {"rating": rating, "comment": comment}
        return self._result(self.http.post(f"{self._book(book_id)}/reviews/", json=review, timeout=10))

    def get_reviews(self, book_id):
        """The reviews by id. Without the last slash: `requests` follows the API's redirect."""
        return self._result(self.http.get(f"{self._book(book_id)}/reviews", timeout=10))

    def _book(self, book_id):
        return f"{self.base_url}/books/{book_id}"

    @staticmethod
    def _result(response):
        if response.status_code in (200, 201):
            return response.json()
        if response.status_code == 404:
            return None
        response.raise_for_status()
        raise requests.HTTPError(f"unexpected status {response.status_code}", response=response)
