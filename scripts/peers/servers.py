"""The servers that `scripts/compare` measures: how each is started on a free
loopback port, pinned to a core, and ended by its own process id."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

PEERS = Path(__file__).resolve().parent
ROOT = PEERS.parent.parent
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
START_SECONDS = 10.0
MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_type error
set_tcp_nodelay true
"""


@dataclass(frozen=True)
class Kind:
    """One server program and how it is started."""

    key: str
    label: str
    protocol: str
    program: str  # looked for in PATH, or a path
    arguments: Callable[[int, Path], list]
    version: tuple = ()
    package: str = ""
    note: str = ""

    def path(self):
        return shutil.which(self.program, path=SEARCH_PATH)

    def describe_version(self):
        """The first line of what the program says of itself; '' if nothing."""
        path = self.path()
        if not path or not self.version:
            return ""
        done = subprocess.run([path, *self.version], capture_output=True, text=True, timeout=10, check=False)
        lines = (done.stdout or done.stderr).strip().splitlines()
        return " ".join(lines[0].split()[:4]) if lines else ""


def mosquitto_arguments(port, folder):
    file = folder / "mosquitto.conf"
    file.write_text(MOSQUITTO.format(port=port))
    folder.chmod(0o755)  # it gives up root before it reads the file again
    return ["-c", str(file)]


def python_relay(name):
    return lambda port, folder: [str(PEERS / name), f"127.0.0.1:{port}", "--quiet"]


def kinds(target):
    """All servers; `target` is cargo's release folder."""
    quiet = "no join and leave notices, which would be N^2 datagrams"
    return [
        Kind("outcry", "outcry, plain", "plain", str(target / "outcry"),
             lambda port, folder: ["serve", "--bind", f"127.0.0.1:{port}", "--log", "warn"], ("--version",)),
        Kind("outcry-native", "outcry (native)", "native", str(target / "outcry"),
             lambda port, folder: ["serve", "--bind", f"127.0.0.1:{port}", "--log", "warn"], ("--version",),
             note="one order for all, acknowledged and repaired; messages of a turn share datagrams"),
        Kind("naive-rust", "naive Rust (std send_to)", "plain", str(target / "examples" / "naive_relay"),
             lambda port, folder: [f"127.0.0.1:{port}", "--quiet"], note=quiet),
        Kind("naive-asyncio", "naive Python (asyncio)", "plain", sys.executable,
             python_relay("naive_asyncio.py"), ("--version",), note=quiet),
        Kind("naive-blocking", "naive Python (blocking)", "plain", sys.executable,
             python_relay("naive_blocking.py"), ("--version",), note=quiet),
        Kind("nats", "nats-server", "nats", "nats-server",
             lambda port, folder: ["-a", "127.0.0.1", "-p", str(port)], ("--version",), "nats-server",
             "TCP; core NATS, echo off"),
        Kind("redis", "redis-server", "redis", "redis-server",
             lambda port, folder: ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                   "--maxclients", "20000", "--dir", str(folder)],
             ("--version",), "redis-server",
             "TCP; a sender's own copy is made by the server and not counted"),
        Kind("mosquitto", "mosquitto", "mqtt", "mosquitto", mosquitto_arguments, ("-h",), "mosquitto",
             "TCP; MQTT 5, QoS 0, no-local, TCP_NODELAY on"),
    ]


def free_port():
    """A port that is free for UDP and TCP on the loopback right now."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no port is free for both UDP and TCP")


def core_ticks(core, pid):
    """Clock ticks so far: of the clock, of processes on the core, of one process."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system = (int(field) for field in line.split()[1:4])
    try:
        own = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        own = ["0"] * 15
    return time.monotonic() * os.sysconf("SC_CLK_TCK"), user + nice + system, int(own[11]) + int(own[12])


def share_of_others(before, after):
    """The part of the time in which somebody else ran on the server's core."""
    passed, busy, own = (late - early for early, late in zip(before, after))
    return min(max((busy - own) / max(passed, 1), 0.0), 1.0)


class Running:
    """A started server; use it in a `with`, which ends it by its own id."""

    def __init__(self, kind, core):
        self.kind = kind
        self.folder = tempfile.TemporaryDirectory(prefix="compare-")
        self.port = free_port()
        self.errors = open(Path(self.folder.name) / "errors", "w+b")
        command = [kind.path(), *kind.arguments(self.port, Path(self.folder.name))]
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, cwd=self.folder.name,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}), start_new_session=True)

    def __enter__(self):
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.errors.close()
        self.folder.cleanup()

    @property
    def pid(self):
        return self.child.pid

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def wait_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise RuntimeError(f"ended at once with {self.child.returncode}: {self.last_words()}")
            if self.listens():
                return
            time.sleep(0.02)
        raise RuntimeError(f"does not listen after {START_SECONDS:.0f} s: {self.last_words()}")

    def listens(self):
        if self.kind.protocol in ("plain", "native"):
            table = Path("/proc/net/udp").read_text() + Path("/proc/net/udp6").read_text()
            return f":{self.port:04X} " in table
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def last_words(self):
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"
