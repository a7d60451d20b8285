"""Pebble, a certificate authority for tests that speaks ACME, with a name server of its own: each name is 127.0.0.1."""

import base64
import http.client
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

from conftest import Process, free_port, wait_for


def make_certificate(folder, name, *more):
    """A self-signed certificate and its key, for a server on 127.0.0.1."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert, *more]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


class Pebble:
    """It validates names on `http_port` and `tls_port`, and issues certificates that last for `validity` seconds."""

    def __init__(self, http_port=0, tls_port=0, validity=7776000, environment=None, mac_keys=None):
        self.folder = tempfile.TemporaryDirectory(prefix="bookend-e2e-")
        folder = pathlib.Path(self.folder.name)
        self.ca_file, key = make_certificate(folder, "pebble")
        self.port, self.management = free_port(), free_port()
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.config = folder / "pebble.json"
        settings = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.ca_file),
            "privateKey": str(key),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "certificateValidityPeriod": validity,
            "externalAccountBindingRequired": bool(mac_keys),
            "externalAccountMACKeys": mac_keys or {},
        }
        self.config.write_text(json.dumps({"pebble": settings}))
        self.environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", **(environment or {})}
        self.dns_port, management = free_port(), free_port()
        others = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
        command = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.dns_port}", "-management", f"127.0.0.1:{management}"]
        self.names = Process([*command, *others])
        self.process = None
        self.start()

    def start(self):
        command = ["pebble", "-config", self.config, "-dnsserver", f"127.0.0.1:{self.dns_port}"]
        self.process = Process(command, env=self.environment)
        wait_for("Pebble to listen", lambda: self._reads("/roots/0"))
        # Made anew at each start.
        self.root = self._reads("/roots/0")

    def stop(self):
        self.process.__exit__()

    def _reads(self, path):
        context = ssl.create_default_context(cafile=self.ca_file)
        try:
            return urllib.request.urlopen(f"https://127.0.0.1:{self.management}{path}", context=context).read().decode()
        except OSError:
            assert self.process.child.poll() is None, self.process.output
            return None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.__exit__(*exception)
        self.names.__exit__(*exception)
        self.folder.cleanup()


class RenewalInformation:
    """In front of Pebble, which knows nothing of it: ARI (RFC 9773), with the window that a test sets."""

    def __init__(self, pebble):
        self.pebble, self.window = pebble, (time.time() + 1e6, time.time() + 2e6)
        self.asked, self.replaced = [], []
        shim = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path.startswith("/renewal-info/"):
                    shim.asked.append(self.path.rpartition("/")[2])
                    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in shim.window]
                    window = dict(zip(("start", "end"), times))
                    return self.answer(200, [("Retry-After", "21600")], json.dumps({"suggestedWindow": window}).encode())
                self.forward()

            def do_HEAD(self):
                self.forward()

            def do_POST(self):
                self.forward(self.rfile.read(int(self.headers["Content-Length"])))

            def forward(self, content=None):
                context = ssl.create_default_context(cafile=shim.pebble.ca_file)
                pebble = http.client.HTTPSConnection("127.0.0.1", shim.pebble.port, context=context)
                pebble.request(self.command, self.path, content, dict(self.headers))
                answer = pebble.getresponse()
                body = answer.read()
                if self.path == "/dir":
                    body = json.dumps({**json.loads(body), "renewalInfo": f"{shim.url}/renewal-info"}).encode()
                if content and "order-plz" in self.path and answer.status == 201:
                    payload = json.loads(base64.urlsafe_b64decode(json.loads(content)["payload"] + "=="))
                    if "replaces" in payload:
                        shim.replaced.append(payload["replaces"])
                        body = json.dumps({**json.loads(body), "replaces": payload["replaces"]}).encode()
                own = ("content-length", "transfer-encoding", "date")
                kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in own]
                self.answer(answer.status, kept, body)

            def answer(self, status, fields, body):
                self.send_response(status)
                for name, value in fields:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *message):
                pass

        folder = pathlib.Path(pebble.folder.name)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pebble.ca_file, folder / "pebble.key")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        pebble.directory = f"{self.url}/dir"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


def account_of(folder):
    """What the gateway has stored of its account."""
    (file,) = folder.glob("*/account.json")
    return json.loads(file.read_text())


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def deactivate(pebble, credentials, folder):
    """Ends an account, as its owner (RFC 8555 §7.3.6)."""
    context = ssl.create_default_context(cafile=pebble.ca_file)

    def call(url, content=None):
        headers = {"Content-Type": "application/jose+json"}
        return urllib.request.urlopen(urllib.request.Request(url, content, headers), context=context)

    directory = json.load(call(pebble.directory))
    nonce = call(directory["newNonce"]).headers["Replay-Nonce"]
    url, key = credentials["id"], folder / "account.der"
    key.write_bytes(base64.urlsafe_b64decode(credentials["key_pkcs8"] + "=="))
    protected = encode(json.dumps({"alg": "ES256", "kid": url, "nonce": nonce, "url": url}).encode())
    payload = encode(b'{"status":"deactivated"}')
    command = ["openssl", "dgst", "-sha256", "-sign", key, "-keyform", "DER"]
    signed = subprocess.run(command, input=f"{protected}.{payload}".encode(), capture_output=True, check=True).stdout
    # Two integers in DER; JWS wants 32 octets of each (RFC 7518 §3.4).
    numbers, rest = [], signed[2:]
    while rest:
        length = rest[1]
        numbers.append(int.from_bytes(rest[2 : 2 + length], "big").to_bytes(32, "big"))
        rest = rest[2 + length :]
    message = {"protected": protected, "payload": payload, "signature": encode(b"".join(numbers))}
    assert json.load(call(url, json.dumps(message).encode()))["status"] == "deactivated"


def owner_only(path):
    return os.stat(path).st_mode & 0o077 == 0
