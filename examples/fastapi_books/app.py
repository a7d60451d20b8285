"""A book API in FastAPI: asynchronous, with pydantic models. It knows nothing of the gateway.

    uvicorn app:app

A body or id that does not fit its model gives 422 with details. `GET /books/{id}/details` promises more than the API
knows: what it returns does not fit its response model, and the answer is 500.
"""

import hashlib
import itertools

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

app = FastAPI()


class Book(BaseModel):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


class BookDetails(Book):
    isbn: str


class Review(BaseModel):
    rating: int = Field(ge=1, le=5)
    comment: str


books = {
    123: Book(title="1984", author="George Orwell"),
    456: Book(title="Brave New World", author="Aldous Huxley"),
}
reviews = {
    123: {789: Review(rating=5, comment="A warning that never grows old")},
    456: {},
}
next_book_id = itertools.count(457)
next_review_id = itertools.count(790)


class NotFound(Exception):
    def __init__(self, what):
        self.what = what


@app.exception_handler(NotFound)
async def answer_not_found(request: Request, error: NotFound):
    return JSONResponse({"error": f"{error.what} not found"}, status_code=404)


def find_book(book_id: int) -> Book:
    if book_id not in books:
        raise NotFound("Book")
    return books[book_id]


@app.get("/books")
async def list_books(response: Response) -> dict[int, Book]:
    response.headers["Cache-Control"] = "public, max-age=60"
    return books


@app.post("/books", status_code=201)
async def add_book(book: Book, response: Response) -> Book:
    book_id = next(next_book_id)
    books[book_id] = book
    reviews[book_id] = {}
    response.headers["Location"] = f"/books/{book_id}"
    return book


@app.get("/books/{book_id}")
async def get_book(book_id: int, response: Response) -> Book:
    book = find_book(book_id)
    digest = hashlib.sha256(book.model_dump_json().encode()).hexdigest()
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["ETag"] = f'"{digest[:16]}"'
    return book


@app.put("/books/{book_id}")
async def update_book(book_id: int, book: Book) -> Book:
    find_book(book_id)
    books[book_id] = book
    return book


@app.delete("/books/{book_id}", status_code=204)
async def delete_book(book_id: int) -> None:
    find_book(book_id)
    del books[book_id]
    del reviews[book_id]


@app.get("/books/{book_id}/details", response_model=BookDetails)
async def get_book_details(book_id: int):
    return find_book(book_id)


@app.get("/books/{book_id}/reviews/")
async def list_reviews(book_id: int) -> dict[int, Review]:
    find_book(book_id)
    return reviews[book_id]


@app.post("/books/{book_id}/reviews/", status_code=201)
async def add_review(book_id: int, review: Review, response: Response) -> Review:
    find_book(book_id)
    review_id = next(next_review_id)
    reviews[book_id][review_id] = review
    response.headers["Location"] = f"/books/{book_id}/reviews/{review_id}"
    return review


@app.get("/books/{book_id}/reviews/{review_id}")
async def get_review(book_id: int, review_id: int) -> Review:
    find_book(book_id)
    if review_id not in reviews[book_id]:
        raise NotFound("Review")
    return reviews[book_id][review_id]
