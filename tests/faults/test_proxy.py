"""The wire does what it says: else a fault that never happened would be survived."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.proxy import HEALTHY, HOST, Flow, Proxy

PATIENCE = 10.0
SILENCE = 0.1


class Echo:
    """A server that says back what it hears, and remembers how connections ended."""

    def __init__(self, stack: ExitStack) -> None:
        self._listener = stack.enter_context(socket.create_server((HOST, 0)))
        self.port = self._listener.getsockname()[1]
        self.ends: list[str] = []
        self.ended = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_ends(self, number: int) -> list[str]:
        """Wait until so many connections have ended; say how."""
        with self.ended:
            assert self.ended.wait_for(lambda: len(self.ends) >= number, PATIENCE)
            return self.ends

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            end = "goodbye"
            try:
                while piece := connection.recv(65_536):
                    connection.sendall(piece)
            except ConnectionError:
                end = "reset"
            with self.ended:
                self.ends.append(end)
                self.ended.notify_all()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close sockets after a test."""
    with ExitStack() as made:
        yield made


@pytest.fixture
def echo(stack: ExitStack) -> Echo:
    """Give a server."""
    return Echo(stack)


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """Give a wire to it."""
    with Proxy(echo.port) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, stack: ExitStack) -> socket.socket:
    """Give a connection that works."""
    return connect(proxy, stack)


def connect(proxy: Proxy, stack: ExitStack) -> socket.socket:
    """Connect through the wire, and see that it works."""
    made = stack.enter_context(socket.create_connection((HOST, proxy.port), PATIENCE))
    assert answer(made, b"hello") == b"hello"
    return made


def answer(client: socket.socket, text: bytes) -> bytes:
    """Say something; return the answer."""
    client.sendall(text)
    return hear(client, len(text))


def hear(client: socket.socket, size: int) -> bytes:
    """Return so many bytes that arrive."""
    heard = b""
    while len(heard) < size:
        piece = client.recv(size - len(heard))
        assert piece, "the connection was closed"
        heard += piece
    return heard


def is_silent(client: socket.socket) -> bool:
    """Say whether nothing comes for a while, not even an end."""
    client.settimeout(SILENCE)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)


def test_bytes_and_ends_arrive(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Also many of them, in both directions at once; a goodbye arrives as one."""
    text = bytes(range(256)) * 20_000
    sending = threading.Thread(target=client.sendall, args=(text,))
    sending.start()
    assert hear(client, len(text)) == text
    sending.join(PATIENCE)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert echo.wait_for_ends(1) == ["goodbye"]
    assert len(proxy.accepted) == 1


def test_a_cut_is_a_reset_at_both_ends(proxy: Proxy, client: socket.socket, echo: Echo, stack: ExitStack) -> None:
    """Of all connections; new ones are welcome."""
    other = connect(proxy, stack)
    assert proxy.cut() == 2
    for cut in (client, other):
        with pytest.raises(ConnectionResetError):
            cut.recv(1)
    assert echo.wait_for_ends(2) == ["reset", "reset"]
    connect(proxy, stack)


def test_refused_until_it_resumes(proxy: Proxy, client: socket.socket, stack: ExitStack) -> None:
    """On the same port."""
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, proxy.port))
    proxy.resume()
    connect(proxy, stack)


def test_a_black_hole_says_nothing(proxy: Proxy, client: socket.socket, echo: Echo, stack: ExitStack) -> None:
    """Neither to connections that were there nor to new ones; who waited long enough is answered in the end."""
    leaving = connect(proxy, stack)
    proxy.swallow()
    late = stack.enter_context(socket.create_connection((HOST, proxy.port), PATIENCE))
    for waiting in (client, late):
        waiting.sendall(b"anyone?")
        assert is_silent(waiting)
    leaving.close()
    assert not echo.ends
    proxy.resume()
    assert hear(client, 7) == hear(late, 7) == b"anyone?"
    assert len(echo.wait_for_ends(1)) == 1


def test_a_black_hole_takes_no_more_than_buffers_hold(proxy: Proxy, client: socket.socket) -> None:
    """Whoever sends on and on is stopped by TCP, as on a real wire."""
    proxy.swallow()
    client.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        client.sendall(bytes(200_000_000))


def test_a_target_that_is_gone_resets(stack: ExitStack) -> None:
    """Connections to it, as a restarted server does."""
    with socket.socket() as deaf:
        deaf.bind((HOST, 0))  # and does not listen
        with Proxy(deaf.getsockname()[1]) as to_nobody, pytest.raises(ConnectionResetError):
            connect(to_nobody, stack)  # the reset may even come while it connects


def test_latency_delays_each_piece_and_piles_up_none(proxy: Proxy, client: socket.socket) -> None:
    """Ten that are sent one after the other travel together."""
    proxy.slow(Flow(latency=0.2), Flow(latency=0.1))
    began = time.monotonic()
    assert answer(client, b"x") == b"x"
    alone = time.monotonic() - began
    assert alone >= 0.3
    began = time.monotonic()
    for _ in range(10):
        client.sendall(b"y")
        time.sleep(0.01)
    assert hear(client, 10) == b"y" * 10
    assert time.monotonic() - began < 5 * alone


def test_loss_stalls_what_follows(proxy: Proxy, client: socket.socket) -> None:
    """Nothing is missing and nothing overtakes."""
    proxy.slow(Flow(loss=1.0, stall=0.1), HEALTHY)
    began = time.monotonic()
    assert answer(client, b"x") == b"x"
    assert time.monotonic() - began >= 0.1


def test_a_rate_is_kept(proxy: Proxy, client: socket.socket) -> None:
    """A kilobyte at five kilobytes a second."""
    proxy.slow(Flow(rate=5000), HEALTHY)
    began = time.monotonic()
    assert answer(client, bytes(1000)) == bytes(1000)
    assert time.monotonic() - began >= 0.2
