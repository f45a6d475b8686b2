"""The Python client of Toxiproxy, against the admin API of `squall proxy`.

Usage: client.py URL, where URL names the admin API (http://127.0.0.1:PORT).
Prints a line for each check and `N passed, N failed` at the end; exit code 1 if one failed.
"""

import socket
import socketserver
import sys
import threading
import traceback
from urllib.parse import urlsplit

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

DEADLINE = 30.0


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)


def echo_server() -> str:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "127.0.0.1:%d" % server.server_address[1]


UPSTREAM = echo_server()


def connect(proxy) -> socket.socket:
    host, port = proxy.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def says_back(connection, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(4096)


def refuses(error, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def it_runs_and_has_a_version(server):
    assert server.running()
    assert b"version" in server.version()


def a_proxy_is_created_found_and_destroyed(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    assert proxy.enabled and not proxy.listen.endswith(":0"), proxy.listen
    assert says_back(connect(proxy), b"hello") == b"hello"
    assert server.get_proxy("a").upstream == UPSTREAM
    assert list(server.proxies()) == ["a"]
    assert server.destroy(proxy)
    assert server.get_proxy("a") is None


def a_name_that_is_taken_is_refused(server):
    server.create(name="a", upstream=UPSTREAM)
    refuses(ProxyExists, server.create, name="a", upstream=UPSTREAM)


def a_proxy_that_is_down_refuses_and_comes_back(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    connection = connect(proxy)
    assert says_back(connection, b"x") == b"x"
    with proxy.down():
        assert not server.get_proxy("a").enabled
        try:
            left = connection.recv(1)
        except ConnectionResetError:
            left = b""
        assert left == b"", "open connections end"
    assert server.get_proxy("a").enabled
    assert says_back(connect(proxy), b"again") == b"again"


def every_type_of_toxic_is_added_listed_and_removed(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    types = {
        "latency": {"latency": 1, "jitter": 0},
        "bandwidth": {"rate": 100000},
        "slow_close": {"delay": 1},
        "timeout": {"timeout": 0},
        "reset_peer": {"timeout": 100000},
        "slicer": {"average_size": 10, "size_variation": 0, "delay": 0},
        "limit_data": {"bytes": 1000000},
        "noop": {},
    }
    for kind, attributes in types.items():
        for stream in ["downstream", "upstream"]:
            proxy.add_toxic(type=kind, stream=stream, attributes=attributes)
            toxic = proxy.get_toxic(f"{kind}_{stream}")
            assert (toxic.type, toxic.stream, toxic.toxicity) == (kind, stream, 1.0)
            assert toxic.attributes == attributes, (kind, toxic.attributes)
    assert len(proxy.toxics()) == 16
    for name in proxy.toxics():
        assert proxy.destroy_toxic(name)
    assert proxy.toxics() == {}
    assert says_back(connect(proxy), b"well again") == b"well again"


def a_latency_is_felt_on_an_open_connection(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    connection = connect(proxy)
    assert says_back(connection, b"x") == b"x"
    proxy.add_toxic(name="slow", type="latency", attributes={"latency": 200})
    connection.settimeout(0.05)
    try:
        early = says_back(connection, b"y")
        raise AssertionError(f"{early!r} came at once")
    except TimeoutError:
        pass
    connection.settimeout(DEADLINE)
    assert connection.recv(1) == b"y"


def what_toxics_get_wrong_is_refused(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    refuses(InvalidToxic, proxy.add_toxic, type="nonsense")
    refuses(InvalidToxic, proxy.add_toxic, type="latency", stream="sideways")
    refuses(InvalidToxic, proxy.add_toxic, type="latency", attributes={"latency": 0.5})
    proxy.add_toxic(type="latency")
    refuses(ProxyExists, proxy.add_toxic, type="latency")
    refuses(NotFound, proxy.destroy_toxic, "none")


def reset_enables_all_and_removes_toxics(server):
    proxy = server.create(name="a", upstream=UPSTREAM)
    proxy.add_toxic(type="timeout")
    proxy.disable()
    assert server.reset()
    assert server.get_proxy("a").enabled
    assert proxy.toxics() == {}
    assert says_back(connect(proxy), b"x") == b"x"


def populate_creates_what_is_not_there(server):
    wanted = [{"name": n, "upstream": UPSTREAM, "listen": "127.0.0.1:0"} for n in "ab"]
    assert [proxy.name for proxy in server.populate(wanted)] == ["a", "b"]


def destroy_all_leaves_nothing(server):
    for name in ["a", "host:port", "with space"]:
        server.create(name=name, upstream=UPSTREAM)
    server.destroy_all()
    assert server.proxies() == {}


CHECKS = [
    it_runs_and_has_a_version,
    a_proxy_is_created_found_and_destroyed,
    a_name_that_is_taken_is_refused,
    a_proxy_that_is_down_refuses_and_comes_back,
    every_type_of_toxic_is_added_listed_and_removed,
    a_latency_is_felt_on_an_open_connection,
    what_toxics_get_wrong_is_refused,
    reset_enables_all_and_removes_toxics,
    populate_creates_what_is_not_there,
    destroy_all_leaves_nothing,
]


def passes(check, server) -> bool:
    try:
        check(server)
        server.destroy_all()
    except Exception:
        print(f"toxiproxy python {check.__name__} ... FAILED", flush=True)
        traceback.print_exc()
        server.destroy_all()
        return False
    print(f"toxiproxy python {check.__name__} ... ok", flush=True)
    return True


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: client.py URL", file=sys.stderr)
        return 2
    url = urlsplit(sys.argv[1])
    server = Toxiproxy()
    server.update_api_consumer(url.hostname, url.port)
    passed = sum([passes(check, server) for check in CHECKS])
    print(f"{passed} passed, {len(CHECKS) - passed} failed")
    return 0 if passed == len(CHECKS) else 1


if __name__ == "__main__":
    sys.exit(main())
