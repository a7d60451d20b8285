"""Django with its GZip, conditional-GET, locale and session-cookie middlewares, as one WSGI file."""

import json
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponsePermanentRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

LANGUAGES = {"en": "Hello", "de": "Guten Tag", "fr": "Bonjour"}
book = {"title": "1984"}

if not settings.configured:
    settings.configure(
        SECRET_KEY="a test's",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[
            "whitenoise.middleware.WhiteNoiseMiddleware",
            "django.middleware.gzip.GZipMiddleware",
            "django.middleware.http.ConditionalGetMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.common.CommonMiddleware",
        ],
        LANGUAGES=[(code, code) for code in LANGUAGES],
        LANGUAGE_CODE="en",
        USE_I18N=True,
        STATIC_URL="/static/",
        STATIC_ROOT=os.environ["FILES"],
    )


@require_safe
def books(request):
    return JsonResponse([{"id": n, "title": f"Book {n}"} for n in range(200)], safe=False)


def one_book(request):
    if request.method == "PUT":
        book.update(json.loads(request.body))
    elif request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, PUT"})
    response = JsonResponse(book)
    if request.method != "PUT":
        response["Cache-Control"] = "public, max-age=60"
    return response


@require_safe
@cache_control(private=True, max_age=0, must_revalidate=True)
def private(request):
    user = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if user not in ("ada", "bob"):
        return JsonResponse({"error": "who are you?"}, status=401, headers={"WWW-Authenticate": "Bearer"})
    return JsonResponse({"user": user})


@require_safe
@cache_control(max_age=60)
def language(request):
    response = HttpResponse(LANGUAGES[request.LANGUAGE_CODE])
    patch_vary_headers(response, ["Accept-Language"])
    return response


@require_safe
@cache_control(max_age=60)
def session(request):
    response = JsonResponse({"welcome": True})
    if "visit" not in request.COOKIES:
        response.set_cookie("visit", "1")
    return response


@require_safe
def status(request, code):
    return JsonResponse({"status": code}, status=code)


@require_safe
def moved(request):
    return HttpResponsePermanentRedirect("/books/1")


@require_safe
def nothing(request):
    return HttpResponse(status=204)


@require_safe
def stream(request):
    return StreamingHttpResponse((f"line {n}\n" for n in range(100)), content_type="text/plain")


def upload(request):
    return JsonResponse({"length": len(request.body)})


urlpatterns = [
    path("books", books),
    path("books/1", one_book),
    path("private", private),
    path("language", language),
    path("session", session),
    path("status/<int:code>", status),
    path("moved", moved),
    path("nothing", nothing),
    path("stream", stream),
    path("upload", upload),
]

application = get_wsgi_application()
