"""The reviews of a book: a blueprint nested under `/books/<id>/reviews`.

The list's path ends in a slash; without it Flask redirects (308).
"""

import itertools

from flask import Blueprint, jsonify, request

reviews = Blueprint("reviews", __name__)

by_book = {
    123: {789: {"rating": 5, "comment": "A warning that never grows old"}},
    456: {},
}
next_id = itertools.count(790)


@reviews.get("/")
def list_reviews(book_id):
    of_book = by_book.get(book_id, {})
    return jsonify({str(review_id): review for review_id, review in of_book.items()})


@reviews.post("/")
def add_review(book_id):
    content = request.get_json(silent=True)
    if not isinstance(content, dict) or not {"rating", "comment"} <= content.keys():
        return jsonify({"error": "A review has a rating and a comment"}), 400
    review = {"rating": content["rating"], "comment": content["comment"]}
    review_id = next(next_id)
    by_book.setdefault(book_id, {})[review_id] = review
    return jsonify(review), 201, {"Location": f"/books/{book_id}/reviews/{review_id}"}


@reviews.get("/<int:review_id>")
def get_review(book_id, review_id):
    review = by_book.get(book_id, {}).get(review_id)
    if review is None:
        return jsonify({"error": "Review not found"}), 404
    return jsonify(review)
