"""`bookend top` in a real pseudo-terminal: what it shows, what keys and resizes do, and what it leaves behind however it ends."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading

import pytest
import requests
from conftest import BOOKEND, PATIENCE, wait_for

# The key of each tab, and what it alone shows.
TABS = {"1": "p99 ms   5xx/s", "2": "reason", "3": "server▾", "4": "RSS", "5": "estimates since the start"}
# The bits of the input's speed, for which termios has no name.
CIBAUD = 0o2003600000
NAMES = ["Routes", "Misses", "Upstreams", "Storage", "URLs"]


class Screen:
    """What a terminal of this size shows: as much of one as the program uses."""

    TOKEN = re.compile(r"\x1b\[(?P<parameters>[?>=]?[0-9;:]*)(?P<final>[@-~])|\x1b[()][A-Z0-9]|\x1b[=>78cDEHMNOZ]|(?P<text>[^\x1b])")

    def __init__(self, columns, rows):
        self.resize(columns, rows)
        # The cursor is shown.
        self.modes = {"25"}
        self.rest = ""

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0

    def feed(self, text):
        text = self.rest + text
        # A sequence may come in two parts.
        begun = re.search(r"\x1b(\[[0-9;:?>=]*)?$", text)
        text, self.rest = (text[: begun.start()], begun[0]) if begun else (text, "")
        for token in self.TOKEN.finditer(text):
            if token["text"]:
                self.put(token["text"])
            elif token["final"]:
                self.control(token["parameters"], token["final"])

    def put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        elif character >= " ":
            if self.row < self.rows and self.column < self.columns:
                self.cells[self.row][self.column] = character
            self.column += 1

    def control(self, parameters, final):
        numbers = [int(number) if number else 0 for number in re.findall(r"\d*", parameters.lstrip("?>="))]
        first = numbers[0] or 1
        if final in "hl" and parameters.startswith("?"):
            (self.modes.add if final == "h" else self.modes.discard)(parameters[1:])
        elif final in "Hf":
            row, column = [*parameters.split(";"), "1", "1"][:2] if parameters else ("1", "1")
            self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
        elif final == "C":
            self.column += first
        elif final == "G":
            self.column = first - 1
        elif final == "J":
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
        elif final == "K" and self.row < self.rows:
            self.cells[self.row][self.column :] = [" "] * max(0, self.columns - self.column)

    def line(self, row):
        return "".join(self.cells[row]).rstrip()

    def text(self):
        return "\n".join(self.line(row) for row in range(self.rows))


class Terminal:
    """A pseudo-terminal with `bookend top` in it, as a shell would have started that."""

    def __init__(self, admin_url, columns=100, rows=30):
        self.master, self.slave = pty.openpty()
        self.set_size(columns, rows)
        self.screen = Screen(columns, rows)
        self.before = self.terminal_modes()
        self.lock = threading.Lock()
        self.child = subprocess.Popen(
            [BOOKEND, "top", "--admin", admin_url.removeprefix("http://")],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
            # Its terminal: keys like Ctrl-C, changes of its size and its end become signals.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color"},
        )
        self.is_open = True
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while self.is_open:
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if not ready or not self.is_open:
                continue
            try:
                octets = os.read(self.master, 1 << 16)
            except OSError:
                return
            with self.lock:
                # A character may come in two parts.
                self.pending = getattr(self, "pending", b"") + octets
                text = self.pending.decode(errors="ignore")
                self.pending = self.pending[len(text.encode()) :]
                self.screen.feed(text)

    def set_size(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        with self.lock:
            self.screen.resize(columns, rows)
        # The kernel sends SIGWINCH.
        self.set_size(columns, rows)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def await_text(self, *texts):
        def shown():
            assert self.child.poll() is None, f"it ended: {self.screen.text()}"
            with self.lock:
                shown = self.screen.text()
            return all(text in shown for text in texts) and shown

        try:
            return wait_for(f"{texts} on the screen", shown)
        except AssertionError as missing:
            raise AssertionError(f"{missing}:\n{self.screen.text()}") from None

    def terminal_modes(self):
        modes = termios.tcgetattr(self.slave)
        # Whether the speed of input is told beside that of output, which is the same, depends on who sets the modes.
        modes[2] &= ~CIBAUD
        return modes

    def has_modes_as_before(self):
        return self.terminal_modes() == self.before

    def ended(self):
        """The exit status, once all that was written has been read."""
        status = self.child.wait(PATIENCE)
        wait_for("the normal screen and the cursor", lambda: self.screen.modes == {"25"})
        return status

    def hang_up(self):
        self.is_open = False
        self.reader.join(PATIENCE)
        os.close(self.master)
        self.master = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(PATIENCE)
        if self.master is not None:
            self.hang_up()
        os.close(self.slave)


@pytest.fixture
def running(plain_api, gateway):
    before = gateway(plain_api.url, more='[[route]]\nmatch = "/books/{id}"\nttl = "5m"')
    for path in ["/books/123", "/books/123", "/books"]:
        requests.get(before.url + path, timeout=PATIENCE)
    return before


@pytest.fixture
def terminal(running):
    with Terminal(running.admin_url) as terminal:
        terminal.await_text(*NAMES, "/books/{id}", "q quit")
        # Neither echoes nor waits for the end of a line, on a screen of its own.
        lflag = termios.tcgetattr(terminal.slave)[3]
        assert not lflag & (termios.ECHO | termios.ICANON) and "1049" in terminal.screen.modes
        yield terminal


def test_each_key_shows_its_tab(terminal):
    for key, column in [*TABS.items(), *reversed(TABS.items())]:
        terminal.press(key)
        terminal.await_text(column, *NAMES)
    for shown in [*TABS.values()][1:] + [TABS["1"]]:
        terminal.press("\t")
        text = terminal.await_text(shown)
        assert [shown] == [of_one for of_one in TABS.values() if of_one in text]


def test_other_keys_do_what_the_help_says(terminal):
    terminal.press("?")
    terminal.await_text("another tab", "remove that filter")
    terminal.press("x")
    terminal.press("/")
    terminal.press("nothing has this")
    terminal.press("\r")
    terminal.await_text("Nothing has the text of the filter")
    # Esc; and the arrows, which begin with the same octet.
    terminal.press("\x1b")
    terminal.await_text("/books/{id}")
    terminal.press("\x1b[B\x1b[A\x1b[6~\x1b[C")
    terminal.await_text(TABS["2"])
    terminal.press("p")
    terminal.await_text("PAUSED")


@pytest.mark.parametrize("size", [(60, 15), (20, 8), (10, 3), (1, 1), (250, 80)], ids=str)
def test_it_fits_each_size_and_comes_back(terminal, size):
    columns, rows = size
    terminal.press("2")
    terminal.await_text(TABS["2"])
    terminal.resize(columns, rows)
    if columns >= 20:
        wait_for("the keys in the last row", lambda: "q quit" in terminal.screen.line(rows - 1))
    # The small ones maybe before anything has been drawn in them.
    terminal.resize(100, 30)
    wait_for("the keys in the last row", lambda: "q quit" in terminal.screen.line(29))
    terminal.await_text(TABS["2"], *NAMES)


def test_q_leaves_the_terminal_as_it_was(terminal):
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.has_modes_as_before()


def test_control_c_does_too(terminal):
    terminal.press("\x03")
    assert terminal.ended() == 0
    assert terminal.has_modes_as_before()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda by: by.name)
def test_so_does_a_signal(terminal, by):
    terminal.child.send_signal(by)
    assert terminal.ended() == 0
    assert terminal.has_modes_as_before()


def test_it_ends_when_its_terminal_goes_away(terminal):
    terminal.hang_up()
    # Not by a panic, which has nowhere to go either. To restore what is gone may fail.
    assert terminal.child.wait(PATIENCE) in (0, 1)


def test_it_goes_on_while_the_gateway_is_gone(terminal, running):
    assert running.process.stop() == 0
    terminal.await_text("cannot be reached")
    running.restart()
    wait_for("the gateway again", lambda: "cannot be reached" not in terminal.screen.text())
    terminal.press("q")
    assert terminal.ended() == 0
