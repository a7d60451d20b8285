"""Real servers for the end-to-end tests: frameworks from PyPI and npm, nginx and Apache from the system's packages.

Each serves the paths that `origins/README.md` lists, from a folder of files that the tests make.
"""

import json
import os
import pathlib
import socket
import sys
import tempfile

from conftest import Process, free_port, wait_for

ORIGINS = pathlib.Path(__file__).parent / "origins"
NODE_MODULES = os.environ.get("BOOKEND_E2E_NODE_MODULES")
DATA = "".join(f"{n:07}\n" for n in range(32 * 1024)).encode()


def make_files(folder):
    """The files that are served: of a size for ranges, and JSON for the servers that have no program behind them."""
    folder.mkdir()
    (folder / "data.txt").write_bytes(DATA)
    (folder / "books.json").write_text(json.dumps([{"id": n, "title": f"Book {n}"} for n in range(200)]))
    (folder / "book.json").write_text(json.dumps({"title": "1984"}))
    for file in folder.iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))


def _python(*command):
    return lambda port, folder: [sys.executable, "-m", *(word.format(port=port) for word in command)]


def _express(port, folder):
    return ["node", ORIGINS / "express" / "app.js", port]


def _configured(program, template):
    def command(port, folder):
        text = (ORIGINS / template).read_text().replace("PORT", str(port)).replace("ROOT", str(folder))
        config = folder / template
        config.write_text(text)
        return program(config, folder)

    return command


SERVERS = {
    "flask": _python("flask", "--app", "flask_app", "run", "--port", "{port}"),
    "gunicorn": _python("gunicorn", "-b", "127.0.0.1:{port}", "--workers", "1", "flask_app:app"),
    "gunicorn-threads": _python("gunicorn", "-b", "127.0.0.1:{port}", "--threads", "4", "flask_app:app"),
    "django": _python("gunicorn", "-b", "127.0.0.1:{port}", "--threads", "4", "django_app:application"),
    "uvicorn": _python("uvicorn", "--port", "{port}", "--no-access-log", "fastapi_app:app"),
    "hypercorn": _python("hypercorn", "-b", "127.0.0.1:{port}", "fastapi_app:app"),
    "granian": _python("granian", "--port", "{port}", "--interface", "asgi", "fastapi_app:app"),
    "express": _express,
    "nginx": _configured(lambda config, folder: ["nginx", "-p", folder, "-c", config], "nginx.conf"),
    "apache": _configured(lambda config, folder: ["apache2", "-X", "-f", config], "apache.conf"),
}


class Server:
    """One of `SERVERS`, on a free port, with files of its own."""

    def __init__(self, name):
        port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="bookend-e2e-")
        folder = pathlib.Path(self.folder.name)
        # Apache reads it as another user.
        folder.chmod(0o755)
        make_files(folder / "files")
        environment = {"FILES": str(folder / "files"), "NO_COLOR": "1"}
        if NODE_MODULES:
            environment["NODE_PATH"] = NODE_MODULES
        self.name, self.address = name, ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self.process = Process(SERVERS[name](port, folder), ORIGINS, environment)
        wait_for(f"{name} to listen: {self.process.output}", self._listens)

    def _listens(self):
        assert self.process.child.poll() is None, f"{self.name} ended: {self.process.output}"
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.child.poll() is None:
            self.process.child.terminate()
            self.process.child.wait(20)
        self.process.__exit__(*exception)
        self.folder.cleanup()

