"""A TCP proxy on 127.0.0.1 that does to connections what networks do."""

import contextlib
import socket
import threading
import time


class Link:
    """One connection through the proxy: `client` is the socket to the client."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        #: The side that was told that the other has gone; the other was told nothing.
        self.told = None

    def close(self):
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes whoever reads from it; close would not
            end.close()


class Proxy:
    """Forwards 127.0.0.1:`port` to a server's port until told otherwise, each byte in its order."""

    def __init__(self, port_of_server, host="127.0.0.1"):
        self._server = (host, port_of_server)
        self._links = set()
        self._lock = threading.Lock()
        self._speaking = threading.Event()
        self._speaking.set()
        self._seconds = 0.0
        self._refusing = False
        self._last_words = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # Faults

    def cut(self):
        """Close all connections at both ends. New ones are forwarded."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.close()

    def cut_after(self, words):
        """Forward the next message of a client that contains these bytes, then cut all.

        After `b"COMMIT"` the server commits and nobody is told.
        """
        self._last_words = words

    def refuse(self):
        """Cut all connections and close new ones at once, until `resume`."""
        self._refusing = True
        self.cut()

    def delay(self, seconds):
        """Hold every message for so long, in both directions, until `resume`."""
        self._seconds = seconds

    def silence(self):
        """Accept everything, new connections too, and forward nothing, until `resume`."""
        self._speaking.clear()

    def half_close(self, side):
        """Tell the "client" or the "server" that the other has gone, and the other nothing.

        The one that was told nothing keeps a connection on which nothing comes any more. This is of
        the present connections, and `resume` does not mend it.
        """
        assert side in ("client", "server")
        with self._lock:
            links = list(self._links)
        for link in links:
            link.told = side
            with contextlib.suppress(OSError):
                getattr(link, side).shutdown(socket.SHUT_RDWR)

    def move(self, port_of_server):
        """Forward new connections to another port from now on."""
        self._server = (self._server[0], port_of_server)

    def resume(self):
        """End silence, delay and refusal; what was held is forwarded."""
        self._seconds, self._refusing, self._last_words = 0.0, False, None
        self._speaking.set()

    def close(self):
        """Stop listening and cut all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._speaking.set()

    # Forwarding

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if self._refusing:
                client.close()
                continue
            threading.Thread(target=self._open, args=(client,), daemon=True).start()

    def _open(self, client):
        self._speaking.wait()
        try:
            server = socket.create_connection(self._server)
        except OSError:  # the server is down: so is its port
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(client, server)
        with self._lock:
            self._links.add(link)
        threading.Thread(target=self._pump, args=(link, "server"), daemon=True).start()
        self._pump(link, "client")

    def _pump(self, link, side):
        """Forward what comes from one side, until it ends."""
        source = getattr(link, side)
        target = link.server if side == "client" else link.client
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._seconds)
                self._speaking.wait()
                if link.told is None:
                    target.sendall(data)
                if side == "client" and self._last_words and self._last_words in data:
                    self._last_words = None
                    self.cut()
        if link.told == side:
            return  # the other side keeps its connection
        with self._lock:
            self._links.discard(link)
        link.close()
