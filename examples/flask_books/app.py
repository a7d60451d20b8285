"""A book API in Flask, written as people write them. It knows nothing of the gateway.

    flask --app app run

`GET /books/<id>` says how long it may be reused, and bears an ETag that is wrong twice: it lacks the quotes that
RFC 9110 asks for, and it stays the same when the book changes. `GET /books/stream` is a generator: a book a line, each
sent when it is made; `?endless=1` never ends, `?pause=0.5` waits so many seconds between the lines, `?lines=10` gives
so many.
"""

import itertools
import json
import time

from flask import Flask, Response, jsonify, request

from reviews import reviews

app = Flask(__name__)
app.json.sort_keys = False
app.register_blueprint(reviews, url_prefix="/books/<int:book_id>/reviews")

books = {
    123: {"title": "1984", "author": "George Orwell"},
    456: {"title": "Brave New World", "author": "Aldous Huxley"},
}
next_id = itertools.count(457)


def with_caching_fields(response, book_id):
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["ETag"] = f"book-{book_id}"
    return response


def book_from_request():
    """The book that the request carries, or None when it is not one."""
    content = request.get_json(silent=True)
    if not isinstance(content, dict) or not {"title", "author"} <= content.keys():
        return None
    return {"title": content["title"], "author": content["author"]}


def not_found():
    return jsonify({"error": "Book not found"}), 404


def not_a_book():
    return jsonify({"error": "A book has a title and an author"}), 400


@app.get("/books")
def list_books():
    return jsonify({str(book_id): book for book_id, book in books.items()})


@app.post("/books")
def add_book():
    book = book_from_request()
    if book is None:
        return not_a_book()
    book_id = next(next_id)
    books[book_id] = book
    return jsonify(book), 201, {"Location": f"/books/{book_id}"}


@app.get("/books/stream")
def stream_books():
    pause = min(request.args.get("pause", 0.2, float), 5)
    lines = request.args.get("lines", len(books), int)
    numbers = itertools.count() if request.args.get("endless") else range(lines)

    def generate():
        shelf = list(books.items())
        for number in numbers:
            if number and pause:
                time.sleep(pause)
            book_id, book = shelf[number % len(shelf)]
            yield json.dumps({"id": book_id, **book, "made": time.time()}) + "\n"

    return Response(generate(), mimetype="application/json")


@app.get("/books/<int:book_id>")
def get_book(book_id):
    if book_id not in books:
        return not_found()
    return with_caching_fields(jsonify(books[book_id]), book_id)


@app.put("/books/<int:book_id>")
def update_book(book_id):
    if book_id not in books:
        return not_found()
    book = book_from_request()
    if book is None:
        return not_a_book()
    books[book_id] = book
    return jsonify(book)


@app.delete("/books/<int:book_id>")
def delete_book(book_id):
    if books.pop(book_id, None) is None:
        return not_found()
    return "", 204


if __name__ == "__main__":
    app.run()
