"""How each proxy is started. What it is told stands in peers/, for everybody to judge."""

import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .machine import Process, file_limit, free_port

CONFIGS = Path(__file__).resolve().parent.parent / "peers"


class Peer:
    """A proxy in front of the origin. Subclasses say how to start it."""

    name = ""
    program = ""
    package = ""
    speaks_h2c = True
    # Whether HTTP/2 has a port of its own.
    separate_h2 = False
    # Whether it speaks TLS; what has no listener for it has no part in those scenarios.
    speaks_tls = False
    # Scenarios in which it does something else than they are about.
    leaves_out = ()

    def __init__(self, directory, origin, core, memory_mib):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.port = free_port()
        self.h2_port = free_port() if self.separate_h2 else self.port
        self.tls_port = free_port()
        certificate = make_certificate(self.directory) if self.speaks_tls else {}
        self.values = {
            **certificate,
            "port": self.port,
            "tls_port": self.tls_port,
            "h2_port": self.h2_port,
            "origin": origin,
            "dir": self.directory,
            "memory_mib": memory_mib,
            "connections": min(16_000, file_limit() // 2 - 100),
            "user": self.user(),
        }
        self.prepare()
        self.process = Process(self.name, self.command(), core, self.directory / "log", self.env())

    @classmethod
    def make(cls, target):
        """Builds what no package brings."""

    @classmethod
    def is_installed(cls):
        return shutil.which(cls.program) is not None

    @classmethod
    def version(cls):
        return cls.program

    def user(self):
        return pwd.getpwuid(os.getuid()).pw_name

    def prepare(self):
        """Writes the configuration."""

    def command(self):
        raise NotImplementedError

    def env(self):
        return {}

    def write(self, template, to):
        """A configuration of peers/, with its values put in."""
        text = (CONFIGS / template).read_text()
        for key, value in self.values.items():
            text = text.replace("{{" + key + "}}", str(value))
        path = self.directory / to
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def own_by(self, user):
        """Gives the directory to the user that the proxy becomes when it is started by root."""
        if os.getuid() == 0:
            entry = pwd.getpwnam(user)
            for path in (self.directory, *self.directory.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid)


def bookend(name, path, workers=1, tier=""):
    """A build of the gateway, as a peer of this name; `tier` is more of its configuration."""

    class Bookend(Peer):
        program = path
        speaks_tls = True

        @classmethod
        def version(cls):
            return first_line([path, "--version"])

        def prepare(self):
            self.values["workers"] = workers
            self.config = self.write("bookend.toml", "bookend.toml")
            if tier:
                text = self.config.read_text() + tier.replace("{{dir}}", str(self.directory))
                self.config.write_text(text)

        def command(self):
            return [path, "run", "--config", str(self.config)]

    Bookend.name = name
    return Bookend


class Nginx(Peer):
    name = "nginx"
    program = "nginx"
    package = "nginx-light"
    separate_h2 = True
    speaks_tls = True

    @classmethod
    def version(cls):
        return first_line(["nginx", "-v"])

    def prepare(self):
        self.config = self.write("nginx.conf", "nginx.conf")
        if os.getuid() == 0:
            self.config.write_text(f"user {self.user()};\n" + self.config.read_text())

    def command(self):
        return ["nginx", "-p", str(self.directory), "-c", str(self.config), "-e", str(self.directory / "error.log")]


class Haproxy(Peer):
    name = "haproxy"
    program = "haproxy"
    package = "haproxy"
    separate_h2 = True
    speaks_tls = True

    @classmethod
    def version(cls):
        return first_line(["haproxy", "-v"])

    def prepare(self):
        self.config = self.write("haproxy.cfg", "haproxy.cfg")

    def command(self):
        return ["haproxy", "-db", "-f", str(self.config)]


class Varnish(Peer):
    name = "varnish"
    program = "varnishd"
    package = "varnish"

    @classmethod
    def version(cls):
        return first_line(["varnishd", "-V"])

    def prepare(self):
        self.config = self.write("varnish.vcl", "varnish.vcl")
        self.directory.chmod(0o755)

    def command(self):
        command = ["varnishd", "-F", "-a", f"127.0.0.1:{self.port}", "-f", str(self.config)]
        command += ["-n", str(self.directory / "run"), "-s", self.storage(), "-T", "none"]
        parameters = {
            "feature": "+http2",
            "thread_pools": 1,
            "thread_pool_min": 200,
            "thread_pool_max": 2000,
            "listen_depth": 4096,
        }
        for key, value in parameters.items():
            command += ["-p", f"{key}={value}"]
        return command

    def storage(self):
        return f"malloc,{self.values['memory_mib']}M"


class VarnishFile(Varnish):
    """Bodies in a file that is mapped into memory."""

    name = "varnish-file"

    def storage(self):
        return f"file,{self.directory / 'storage'},{self.values['memory_mib']}M"


class TrafficServer(Peer):
    name = "trafficserver"
    program = "traffic_server"
    package = "trafficserver"
    speaks_h2c = False

    @classmethod
    def version(cls):
        return first_line(["traffic_server", "--version"])

    def user(self):
        return "trafficserver" if os.getuid() == 0 else super().user()

    def prepare(self):
        root = self.directory / "root"
        for name in ("records.config", "remap.config", "storage.config", "ip_allow.yaml"):
            self.write(f"trafficserver/{name}", root / "etc" / name)
        for name in ("run", "log", "data", "cache"):
            (root / name).mkdir()
        self.write("trafficserver/runroot.yaml", root / "runroot.yaml")
        self.own_by(self.user())

    def command(self):
        return ["traffic_server", f"--run-root={self.directory / 'root'}"]


class Squid(Peer):
    name = "squid"
    program = "squid"
    package = "squid"
    speaks_h2c = False
    # collapsed_forwarding shares even what is no-store among concurrent requests.
    leaves_out = ("miss",)

    @classmethod
    def version(cls):
        return first_line(["squid", "-v"])

    def user(self):
        return "proxy" if os.getuid() == 0 else super().user()

    def prepare(self):
        self.config = self.write("squid.conf", "squid.conf")
        self.own_by(self.user())

    def command(self):
        # One process, not a worker under a supervisor.
        return ["squid", "-N", "-f", str(self.config)]


class Pingora(Peer):
    """A small program of ours around its crates: see pingora/."""

    name = "pingora"
    # What builds zlib-ng, on which it insists.
    package = "cmake"
    program = ""

    @classmethod
    def make(cls, target):
        if shutil.which("cmake") is None:
            sys.exit("pingora cannot be built: cmake is absent; install it, or run with --install")
        directory = target / "compare-pingora"
        command = ["cargo", "build", "--locked", "--release", "--quiet", "--target-dir", str(directory)]
        print("building pingora, which takes a few minutes the first time", file=sys.stderr)
        if subprocess.run(command, cwd=CONFIGS.parent / "pingora", check=False).returncode != 0:
            sys.exit("pingora cannot be built: see above; leave it out of --peers")
        cls.program = str(directory / "release" / "pingora-peer")

    @classmethod
    def version(cls):
        locked = (CONFIGS.parent / "pingora" / "Cargo.lock").read_text()
        return re.search(r'name = "pingora-proxy"\nversion = "(.*)"', locked).expand(r"pingora-proxy \1")

    @classmethod
    def is_installed(cls):
        return shutil.which(cls.program or cls.package) is not None

    def command(self):
        values = (self.values[key] for key in ("port", "origin", "memory_mib"))
        return [self.program, *map(str, values)]


PEERS = [Nginx, Haproxy, Varnish, TrafficServer, Squid]

# Only where they are asked for.
ON_REQUEST = [Pingora, VarnishFile]

# What Bookend's configuration has in addition, by the tier below memory.
TIERS = {
    "disk": '\n[disk]\npath = "{{dir}}/disk"\nindex_memory = "1400KiB"\n',
    "shared": '\n[valkey]\nurl = "unix://{{socket}}"\n',
}


def redis(directory, core):
    """A server for the shared tier that keeps all in memory, and the path of its socket."""
    path = directory / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    process = Process("redis", [*command, "--dir", str(directory)], core, directory / "redis.log")
    for _ in range(500):
        if path.exists():
            return process, path
        time.sleep(0.01)
    process.stop()
    raise RuntimeError("redis-server does not listen")


def install(peers):
    """Installs those that are absent from the system's packages, without starting their services."""
    missing = [peer.package for peer in peers if not peer.is_installed()]
    tools = [(tool, package) for tool, package in (("wrk", "wrk"), ("h2load", "nghttp2-client"))]
    missing += [package for tool, package in tools if shutil.which(tool) is None]
    if not missing:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=env)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)


def make_certificate(directory):
    """A certificate that signs itself, with an ECDSA key, and both in one file: the same kind for each peer."""
    cert, key, pair = (directory / name for name in ("cert.pem", "key.pem", "pair.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=books.example", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    pair.write_text(cert.read_text() + key.read_text())
    return {"cert": cert, "key": key, "pair": pair}


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0] if lines else "?"
