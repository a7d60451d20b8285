"""Flask with Flask-Compress and Flask-CORS, and Flask's own conditional answers."""

import os

from flask import Flask, Response, jsonify, make_response, redirect, request
from flask_compress import Compress
from flask_cors import CORS

FILES = os.environ["FILES"]
LANGUAGES = {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}

app = Flask(__name__, static_folder=FILES, static_url_path="/static")
app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 60
Compress(app)
CORS(app, resources={"/shared": {"origins": ["http://app.example"]}}, supports_credentials=True)
title = "1984"


def conditional(response, cache_control=None):
    if cache_control:
        response.headers["Cache-Control"] = cache_control
    response.add_etag()
    return response.make_conditional(request)


@app.get("/books")
def books():
    return conditional(jsonify([{"id": n, "title": f"Book {n}"} for n in range(200)]))


@app.route("/books/1", methods=["GET", "PUT"])
def book():
    global title
    if request.method == "PUT":
        title = request.get_json()["title"]
        return jsonify(title=title)
    return conditional(jsonify(title=title), "public, max-age=60")


@app.get("/private")
def private():
    user = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if user not in ("ada", "bob"):
        return {"error": "who are you?"}, 401, {"WWW-Authenticate": "Bearer"}
    return conditional(jsonify(user=user), "private, max-age=0, must-revalidate")


@app.get("/language")
def language():
    chosen = request.accept_languages.best_match(LANGUAGES) or "en"
    response = make_response(LANGUAGES[chosen])
    response.content_language.add(chosen)
    response.vary.add("Accept-Language")
    return conditional(response, "max-age=60")


@app.get("/shared")
def shared():
    return conditional(jsonify(shared=True), "max-age=60")


@app.get("/session")
def session():
    response = conditional(jsonify(welcome=True), "max-age=60")
    if "visit" not in request.cookies:
        response.set_cookie("visit", "1")
    return response


@app.get("/status/<int:code>")
def status(code):
    return jsonify(status=code), code


@app.get("/moved")
def moved():
    return redirect("/books/1", 301)


@app.get("/nothing")
def nothing():
    return "", 204


@app.get("/stream")
def stream():
    return Response((f"line {n}\n" for n in range(100)), mimetype="text/plain")


@app.post("/upload")
def upload():
    return {"length": len(request.get_data())}
