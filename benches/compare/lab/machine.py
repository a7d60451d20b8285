"""Processes pinned to cores, what they cost, and their end: only ever those that were started here, by their id."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cores():
    """The core for the proxies and the one for load and origin; the same one twice where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def free_port():
    """A port on loopback that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def file_limit():
    """How many files a process may have open at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_file_limit():
    resource.setrlimit(resource.RLIMIT_NOFILE, (file_limit(), file_limit()))


def settle(core):
    """For a process that has just begun a session: on its core if it has one, and before others that want it where that
    may be said."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    # Between sessions, where each is a group of its own, only the group's word counts.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        Path("/proc/self/autogroup").write_text("-20")


class Process:
    """A process in a session of its own, with all its descendants."""

    def __init__(self, name, command, core, log, env=None):
        self.name = name
        self.log = log

        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=lambda: settle(core),
            )

    def tree(self):
        """The ids of the process and its descendants, those that were given away to init but kept the session too."""
        parents, sessions = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    fields = stat_fields(entry)
                    parents[int(entry)], sessions[int(entry)] = int(fields[1]), int(fields[3])
        own, grown = {self.child.pid}, True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in own} - own
            own, grown = own | more, bool(more)
        return own | {pid for pid, session in sessions.items() if session == self.child.pid}

    def cpu_seconds(self):
        """User and system time of the whole tree so far."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                fields = stat_fields(pid)
                total += int(fields[11]) + int(fields[12])
        return total / TICK

    def waited_seconds(self):
        """How long threads of the tree could have run and had no core, so far."""
        total = 0
        for pid in self.tree():
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(task.read_text().split()[1])
        return total / 1e9

    def memory_bytes(self):
        """The tree's resident memory, shared pages divided among those that share them."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return total

    def is_running(self):
        return self.child.poll() is None

    def wait_for_port(self, port, seconds=20):
        """Until somebody listens there; fails when the process ends first."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if not self.is_running():
                break
            time.sleep(0.05)
        said = Path(self.log).read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} does not listen on port {port}:\n{said}")

    def stop(self):
        """Asks the tree to end, then makes it."""
        pids = self.tree()
        for signal_number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal_number)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                self.child.poll()
                pids = {pid for pid in pids if is_alive(pid)}
                if not pids:
                    return
                time.sleep(0.05)


def stat_fields(pid):
    """/proc/PID/stat from the state on, past the command's name, which may hold anything."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()


def is_alive(pid):
    try:
        return stat_fields(pid)[0] != "Z"
    except OSError:
        return False
