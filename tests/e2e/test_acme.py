"""Certificates over ACME, by Pebble: issued, renewed, and in use whatever happens to the authority."""

import contextlib
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest
import requests
from acme import Pebble, RenewalInformation, account_of, deactivate, owner_only
from conftest import BOOKEND, PATIENCE, Process, free_port, wait_for

NAME = "books.example.org"


class Edge:
    """The gateway with a listener that redirects and one with TLS, whose certificates `pebble` issues."""

    def __init__(self, upstream, beside=None, **pebble):
        """`beside` is another, whose authority and folder it shares."""
        self.upstream = upstream
        self.http, self.https, self.admin = free_port(), free_port(), free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="bookend-e2e-")
        self.state = pathlib.Path(self.folder.name) / "state"
        self.file = pathlib.Path(self.folder.name) / "config.toml"
        self.pebble = beside.pebble if beside else Pebble(self.http, self.https, **pebble)
        self.state = beside.state if beside else self.state
        self.process = None

    def write(self, challenge="tls-alpn-01", names=(NAME,), more="", tls=""):
        self.file.write_text(f"""
[upstream]
servers = ["{self.upstream}"]
[admin]
listen = "127.0.0.1:{self.admin}"
[[listener]]
listen = "127.0.0.1:{self.http}"
redirect = {self.https}
[[listener]]
listen = "127.0.0.1:{self.https}"
[listener.tls]
{tls}
[listener.tls.acme]
domains = {list(names)}
contact = "mailto:ops@example.org"
directory = "{self.pebble.directory}"
directory_ca = "{self.pebble.ca_file}"
state = "{self.state}"
challenge = "{challenge}"
agree_terms = true
{more}
""")

    def start(self, **file):
        self.write(**file)
        self.process = Process([BOOKEND, "run", "--config", self.file])
        self.process.await_output(rf"listening.*\b{self.https}\b")
        return self

    def stop(self):
        assert self.process.stop() == 0

    def reload(self, **file):
        self.write(**file)
        before = self.process.output.count("configuration reloaded")
        self.process.child.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: self.process.output.count("configuration reloaded") > before)

    def certificate(self, name=NAME):
        """What a client that trusts Pebble's root gets (DER), and None where the handshake is refused."""
        context = ssl.create_default_context(cadata=self.pebble.root)
        with socket.create_connection(("127.0.0.1", self.https), timeout=PATIENCE) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=name) as secure:
                    return secure.getpeercert(binary_form=True)
            except ssl.SSLError as error:
                self.refusal = str(error)
                return None

    def await_certificate(self, name=NAME, other_than=None):
        def reached():
            found = self.certificate(name)
            return found if found != other_than else None

        try:
            return wait_for(f"a certificate for {name}", reached, 3 * PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.process.output}") from None

    def metric(self, name):
        text = requests.get(f"http://127.0.0.1:{self.admin}/metrics", timeout=PATIENCE).text
        return float(re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", text, re.MULTILINE)[1])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process:
            self.process.__exit__(*exception)
        self.pebble.__exit__(*exception)
        self.folder.cleanup()


@pytest.fixture
def edge(plain_api):
    with contextlib.ExitStack() as running:
        yield lambda **pebble: running.enter_context(Edge(plain_api.url, **pebble))


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_certificate_is_issued_stored_and_used_again_after_a_restart(edge, challenge):
    edge = edge().start(challenge=challenge)
    first = edge.await_certificate()
    edge.process.await_output("certificate issued")
    # HTTP/2 and HTTP/1.1 by a real client; other requests to the plain address are redirected as before.
    root = pathlib.Path(edge.folder.name) / "root.pem"
    root.write_text(edge.pebble.root)
    address = f"{NAME}:{edge.https}:127.0.0.1"
    for version, shown in [("--http2", "2"), ("--http1.1", "1.1")]:
        url = f"https://{NAME}:{edge.https}/books"
        command = ["curl", "-sS", version, "--cacert", root, "--resolve", address, "-o", "/dev/null"]
        answer = subprocess.run([*command, "-w", "%{http_code} %{http_version}", url], capture_output=True, text=True)
        assert answer.stdout == f"200 {shown}", answer.stderr
    for path in ["/books", "/.well-known/acme-challenge/none-in-flight"]:
        answer = requests.get(f"http://127.0.0.1:{edge.http}{path}", allow_redirects=False, timeout=PATIENCE)
        assert answer.status_code == 301
    # Nobody else may read it.
    files = [path for path in edge.state.rglob("*")]
    assert {path.name for path in files if path.is_file()} == {"account.json", "lock", f"{NAME}.pem"}
    assert all(owner_only(path) for path in [edge.state, *files])
    edge.stop()
    edge.pebble.stop()
    edge.start(challenge=challenge)
    assert edge.certificate() == first
    assert "certificate not issued" not in edge.process.output


def test_a_name_without_a_certificate_is_refused_and_tried_again(edge):
    edge = edge()
    edge.pebble.stop()
    edge.start()
    edge.process.await_output("certificate not issued")
    assert edge.certificate() is None
    assert "unrecognized name" in edge.refusal.lower().replace("_", " ")
    assert "next_try_in" in edge.process.output and "let this machine reach the authority" in edge.process.output
    ready = requests.get(f"http://127.0.0.1:{edge.admin}/readyz", timeout=PATIENCE)
    assert (ready.status_code, ready.text) == (200, f"ready, but there is no certificate for {NAME} yet\n")
    assert edge.metric('bookend_acme_issues_total{result="failed"}') == 1
    # A reload is a reason to try again at once.
    edge.pebble.start()
    edge.reload()
    edge.await_certificate()
    assert edge.metric('bookend_acme_issues_total{result="ok"}') == 1


def test_a_certificate_is_renewed_and_stays_in_use_while_the_authority_is_down(edge):
    edge = edge(validity=30, environment={"PEBBLE_WFE_NONCEREJECT": "20"}).start()
    first = edge.await_certificate()
    second = edge.await_certificate(other_than=first)
    assert account_of(edge.state)["contact"] == ["mailto:ops@example.org"]
    account = account_of(edge.state)["account"]["id"]
    edge.pebble.stop()
    edge.process.await_output("certificate not issued")
    assert edge.certificate() == second
    # The authority has forgotten the account, as one does that has lost its memory.
    edge.pebble.start()
    edge.reload()
    edge.await_certificate(other_than=second)
    assert "does not know the ACME account" in edge.process.output
    assert account_of(edge.state)["account"]["id"] != account


def test_the_authority_says_when_a_certificate_is_renewed(edge):
    edge = edge()
    with RenewalInformation(edge.pebble) as information:
        edge.start()
        first = edge.await_certificate()
        edge.process.await_output("the authority says when to renew")
        edge.stop()
        # As after a mistake of the authority's: at once.
        information.window = (time.time() - 20, time.time() - 10)
        edge.start()
        edge.await_certificate(other_than=first)
        wait_for("the new certificate's information", lambda: len(set(information.asked)) == 2)
        # The order said which certificate it replaces.
        assert information.replaced == information.asked[:1]
        # The new one is to be replaced at once, too, says this authority, and is left alone for a while.
        edge.process.await_output("renewal_in=\"0s\"")
        assert edge.metric('bookend_acme_issues_total{result="ok"}') == 1


def test_an_account_that_has_been_deactivated_is_replaced(edge):
    edge = edge().start(names=["a.example.org"])
    first = edge.await_certificate("a.example.org")
    account = account_of(edge.state)["account"]
    deactivate(edge.pebble, account, pathlib.Path(edge.folder.name))
    edge.reload(names=["a.example.org", "b.example.org"])
    edge.await_certificate("b.example.org")
    assert account_of(edge.state)["account"]["id"] != account["id"]
    assert edge.certificate("a.example.org") == first


def test_an_account_is_bound_to_one_that_there_is_already(edge):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    edge = edge(mac_keys={"kid-1": key}).start()
    edge.process.await_output("the authority says externalAccountRequired")
    assert "give `eab_key_id` and `eab_hmac_key`" in edge.process.output
    edge.reload(more=f'eab_key_id = "kid-1"\neab_hmac_key = "{key}"')
    edge.await_certificate()


def test_processes_that_share_a_folder_have_one_certificate(edge):
    # The second cannot be reached by the authority, which takes the name for proved.
    first = edge(validity=30, environment={"PEBBLE_AUTHZREUSE": "100"}).start()
    old = first.await_certificate()
    second = edge(beside=first).start()
    assert second.certificate() == old
    for gateway in [first, second]:
        gateway.await_certificate(other_than=old)

    def agree():
        shown = [gateway.certificate() for gateway in (first, second)]
        return shown[0] and shown[0] == shown[1]

    wait_for("the same certificate at both", agree, 3 * PATIENCE)
    assert "certificate not issued" not in first.process.output + second.process.output
    assert "certificate found that another process has stored" in first.process.output + second.process.output


def test_names_come_and_go_with_a_reload(edge):
    edge = edge().start(names=["a.example.org"])
    first = edge.await_certificate("a.example.org")
    edge.reload(names=["a.example.org", "b.example.org"])
    edge.await_certificate("b.example.org")
    assert edge.certificate("a.example.org") == first
    edge.reload(names=["b.example.org"])
    assert edge.certificate("a.example.org") is None
    # What is stored is used when the name comes back.
    edge.reload(names=["a.example.org"])
    assert edge.certificate("a.example.org") == first


def test_a_name_that_leads_elsewhere_is_told(edge):
    edge = edge()
    edge.start(challenge="http-01")
    edge.await_certificate()
    # No listener of ours is there any more.
    edge.stop()
    edge.http, edge.https = free_port(), free_port()
    edge.start(challenge="http-01", names=["c.example.org"])
    edge.process.await_output("certificate not issued")
    assert "the authority says connection" in edge.process.output
    assert "let the name's DNS records lead here" in edge.process.output
