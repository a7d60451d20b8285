"""The same client on one `requests.Session`: many requests over kept connections."""

import requests

from book_client import BookClient


class SessionBookClient(BookClient):
    def __init__(self, base_url):
        super().__init__(base_url, http=requests.Session())

    def close(self):
        self.http.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
