"""FastAPI with Starlette's GZip and CORS middlewares and its static files."""

import hashlib
import json
import os

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

FILES = os.environ["FILES"]
LANGUAGES = {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}

app = FastAPI()
app.add_middleware(GZipMiddleware, minimum_size=500)
app.add_middleware(CORSMiddleware, allow_origins=["http://app.example"], allow_credentials=True)
app.mount("/static", StaticFiles(directory=FILES), name="static")
book = {"title": "1984"}


def conditional(request, content, **fields):
    """JSON with an ETag, as hand-written handlers make it: 304 without content where the client has it."""
    octets = json.dumps(content).encode()
    etag = '"' + hashlib.sha256(octets).hexdigest()[:16] + '"'
    headers = {name.replace("_", "-"): value for name, value in fields.items()} | {"ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(octets, media_type="application/json", headers=headers)


@app.api_route("/books", methods=["GET", "HEAD"])
def books():
    return [{"id": n, "title": f"Book {n}"} for n in range(200)]


@app.api_route("/books/1", methods=["GET", "HEAD"])
def get_book(request: Request):
    return conditional(request, book, Cache_Control="public, max-age=60")


@app.put("/books/1")
async def put_book(request: Request):
    book.update(await request.json())
    return book


@app.api_route("/private", methods=["GET", "HEAD"])
def private(request: Request):
    user = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if user not in ("ada", "bob"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return conditional(request, {"user": user}, Cache_Control="private, max-age=0, must-revalidate")


@app.api_route("/language", methods=["GET", "HEAD"])
def language(request: Request):
    wanted = request.headers.get("Accept-Language", "en")[:2]
    chosen = wanted if wanted in LANGUAGES else "en"
    fields = {"Cache_Control": "max-age=60", "Vary": "Accept-Language", "Content_Language": chosen}
    return conditional(request, LANGUAGES[chosen], **fields)


@app.api_route("/shared", methods=["GET", "HEAD"])
def shared(request: Request):
    return conditional(request, {"shared": True}, Cache_Control="max-age=60")


@app.api_route("/session", methods=["GET", "HEAD"])
def session(request: Request):
    response = conditional(request, {"welcome": True}, Cache_Control="max-age=60")
    if "visit" not in request.cookies:
        response.set_cookie("visit", "1")
    return response


@app.api_route("/status/{code}", methods=["GET", "HEAD"])
def status(code: int):
    return JSONResponse({"status": code}, code)


@app.api_route("/moved", methods=["GET", "HEAD"])
def moved():
    return RedirectResponse("/books/1", 301)


@app.api_route("/nothing", methods=["GET", "HEAD"], status_code=204)
def nothing():
    return Response(status_code=204)


@app.api_route("/stream", methods=["GET", "HEAD"])
def stream():
    return StreamingResponse((f"line {n}\n" for n in range(100)), media_type="text/plain")


@app.post("/upload")
async def upload(request: Request):
    return {"length": len(await request.body())}
