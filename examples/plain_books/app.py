"""A book API without a single caching field, as most are, on Python's standard library alone.

    python app.py --port 5000

It knows nothing of the gateway: how long its answers may be reused is for the operator to say, in the gateway's
configuration.
"""

import argparse
import itertools
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

books = {
    123: {"title": "1984", "author": "George Orwell"},
    456: {"title": "Brave New World", "author": "Aldous Huxley"},
}
reviews = {
    123: {789: {"rating": 5, "comment": "A warning that never grows old"}},
    456: {},
}
next_id = itertools.count(790)

BOOK = re.compile(r"/books/(\d+)")
REVIEWS = re.compile(r"/books/(\d+)/reviews/")
REVIEW = re.compile(r"/books/(\d+)/reviews/(\d+)")


class Problem(Exception):
    def __init__(self, status, error):
        super().__init__(error)
        self.status = status


def find(shelf, key, what):
    if int(key) not in shelf:
        raise Problem(404, f"{what} not found")
    return shelf[int(key)]


def by_id(shelf):
    return {str(key): value for key, value in shelf.items()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/books":
            return self.answer(200, by_id(books))
        if re.fullmatch(r"/books/\d+/reviews", self.path):
            return self.answer(308, {}, {"Location": f"{self.path}/"})
        if match := REVIEW.fullmatch(self.path):
            of_book = find(reviews, match[1], "Book")
            return self.answer(200, find(of_book, match[2], "Review"))
        if match := REVIEWS.fullmatch(self.path):
            return self.answer(200, by_id(find(reviews, match[1], "Book")))
        return self.answer(200, find(books, self.book_id(), "Book"))

    do_HEAD = do_GET

    def do_POST(self):
        if self.path == "/books":
            shelf, item = books, self.item("title", "author")
        elif match := REVIEWS.fullmatch(self.path):
            shelf, item = find(reviews, match[1], "Book"), self.item("rating", "comment")
        else:
            raise Problem(405, "Method not allowed")
        key = next(next_id)
        shelf[key] = item
        if shelf is books:
            reviews[key] = {}
        location = f"{self.path.rstrip('/')}/{key}"
        self.answer(201, item, {"Location": location})

    def do_PUT(self):
        book_id = self.book_id()
        find(books, book_id, "Book")
        books[book_id] = self.item("title", "author")
        self.answer(200, books[book_id])

    def do_DELETE(self):
        book_id = self.book_id()
        find(books, book_id, "Book")
        del books[book_id], reviews[book_id]
        self.send_response(204)
        self.end_headers()

    def book_id(self):
        match = BOOK.fullmatch(self.path)
        if match is None:
            raise Problem(404, "Not found")
        return int(match[1])

    def item(self, *members):
        """What the request carries: an object with these members."""
        try:
            content = json.loads(self.content)
            return {member: content[member] for member in members}
        except (ValueError, KeyError, TypeError):
            raise Problem(400, f"An object with {' and '.join(members)} is needed") from None

    def answer(self, status, content, fields=None):
        octets = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (fields or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(octets)

    def parse_request(self):
        if not super().parse_request():
            return False
        # Read in any case: what is left unread would be taken for the next request.
        self.content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return True

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except Problem as problem:
            self.answer(problem.status, {"error": str(problem)})

    def log_message(self, format, *args):
        """Silent: the gateway writes an access log."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=5000, help="0: any free one")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"Serving on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
