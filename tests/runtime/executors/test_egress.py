"""The guard of requests that others have us make: what it refuses, what it lets through, and where that connects."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agentkit.errors import ConfigError
from agentkit.runtime.outbound.addresses import hazard, literal
from agentkit.runtime.outbound.egress import Guard, GuardedTransport, Refused
from agentkit.runtime.outbound.fetching import Fetcher, Outgoing, Unreadable, reason
from tests.client.hostile import Request, Wire, hostile

PUBLIC = "93.184.215.14"


def resolver(*answers: Sequence[str]) -> Callable[[str, int], Any]:
    """A resolver that gives these answers, one after the other; the last one again and again."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = left.pop(0) if len(left) > 1 else left[0]
        if not found:
            raise OSError("no such host")
        return found

    return resolve


REFUSED = {  # name: (URL, the addresses of its host, the word for what they are)
    "loopback": ("http://127.0.0.1/", (), "loopback"),
    "loopback_elsewhere_in_the_block": ("http://127.8.9.10/", (), "loopback"),
    "loopback_by_name": ("http://localhost/", ("127.0.0.1",), "loopback"),
    "loopback_by_a_public_name": ("http://lvh.example/", ("127.0.0.1",), "loopback"),
    "loopback_ipv6": ("http://[::1]/", (), "loopback"),
    "private_10": ("http://10.0.0.1/", (), "private"),
    "private_172": ("http://172.16.5.4/", (), "private"),
    "private_192": ("http://192.168.1.1/", (), "private"),
    "private_by_name": ("https://intranet.example/", ("10.1.2.3",), "private"),
    "private_ipv6": ("http://[fd12:3456::1]/", (), "private"),
    "site_local_ipv6": ("http://[fec0::1]/", (), "private"),
    "link_local": ("http://169.254.1.1/", (), "link-local"),
    "link_local_ipv6": ("http://[fe80::1]/", (), "link-local"),
    "link_local_ipv6_with_zone": ("http://x.example/", ("fe80::1%eth0",), "link-local"),
    "metadata": ("http://169.254.169.254/latest/meta-data/", (), "metadata"),
    "metadata_by_name": ("http://metadata.example/", ("169.254.169.254",), "metadata"),
    "metadata_ipv6": ("http://[fd00:ec2::254]/", (), "metadata"),
    "metadata_of_others": ("http://100.100.100.200/", (), "metadata"),
    "carrier_grade_nat": ("http://100.64.0.1/", (), "carrier-grade"),
    "unspecified": ("http://0.0.0.0/", (), "unspecified"),
    "this_network": ("http://0.1.2.3/", (), "unspecified"),
    "unspecified_ipv6": ("http://[::]/", (), "unspecified"),
    "multicast": ("http://224.0.0.1/", (), "multicast"),
    "multicast_ipv6": ("http://[ff02::1]/", (), "multicast"),
    "broadcast": ("http://255.255.255.255/", (), "reserved"),
    "reserved": ("http://240.0.0.1/", (), "reserved"),
    "documentation": ("http://192.0.2.7/", (), "reserved"),
    "benchmarking": ("http://198.18.0.1/", (), "reserved"),
    "documentation_ipv6": ("http://[2001:db8::1]/", (), "reserved"),
    "outside_of_global_unicast": ("http://[4000::1]/", (), "reserved"),
    "mapped_ipv4": ("http://[::ffff:127.0.0.1]/", (), "loopback"),
    "mapped_ipv4_in_hex": ("http://[::ffff:a9fe:a9fe]/", (), "metadata"),
    "compatible_ipv4": ("http://[::127.0.0.1]/", (), "reserved"),
    "nat64": ("http://[64:ff9b::10.0.0.1]/", (), "private"),
    "nat64_local": ("http://[64:ff9b:1::1]/", (), "reserved"),
    "6to4": ("http://[2002:c0a8:101::1]/", (), "private"),
    "teredo": ("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", (), "reserved"),
    "teredo_with_a_private_client": ("http://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/", (), "private"),
    "decimal": ("http://2130706433/", (), "loopback"),
    "octal": ("http://0177.1/", (), "loopback"),
    "hexadecimal": ("http://0x7f000001/", (), "loopback"),
    "short": ("http://127.1/", (), "loopback"),
    "mixed_forms": ("http://0xa9.254.0250.254/", (), "link-local"),
    "trailing_dot": ("http://127.0.0.1./", (), "loopback"),
    "one_of_several": ("http://both.example/", (PUBLIC, "10.0.0.1"), "private"),
    "public_ipv6_beside_private_ipv4": ("http://both.example/", ("2606:2800:21f::1", "192.168.0.9"), "private"),
    "credentials_before_the_host": ("http://example.com@127.0.0.1/", (), "loopback"),
    "another_port": ("http://127.0.0.1:6379/", (), "loopback"),
}


@pytest.mark.requirement("http:ssrf")
@pytest.mark.parametrize("name", REFUSED)
async def test_refused(name: str) -> None:
    url, addresses, word = REFUSED[name]
    guard = Guard(resolve=resolver(addresses))
    async with httpx.AsyncClient(transport=GuardedTransport(guard), trust_env=False) as client:
        with pytest.raises(Refused, match=word) as refused:
            await client.get(url)
    told, is_metadata = str(refused.value), word == "metadata"
    assert "allow_hosts" in told
    assert ("--allow-host" in told) is not is_metadata  # no line to paste that opens that


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "2606:2800:21f::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "172.32.0.1"],
)
def test_addresses_of_everybody_are_none(address: str) -> None:
    assert hazard(address) is None


@pytest.mark.parametrize("scheme", ["ftp", "file", "gopher", "unix"])
async def test_other_schemes_are_refused(scheme: str) -> None:
    transport = GuardedTransport(Guard())
    with pytest.raises(Refused, match=f"'{scheme}' is no scheme"):
        await transport.handle_async_request(httpx.Request("GET", f"{scheme}://example.com/x"))


@pytest.mark.parametrize("host", ["example.com", "1.2.3.4.example", "0xzz", "", "::g", "256.256.256.256.256"])
def test_names_are_no_addresses(host: str) -> None:
    assert literal(host) is None


async def test_a_host_that_nobody_knows_is_a_connect_error() -> None:
    transport = GuardedTransport(Guard(resolve=resolver(())))
    with pytest.raises(httpx.ConnectError, match=r"there is no host 'nowhere\.example'"):
        await transport.handle_async_request(httpx.Request("GET", "http://nowhere.example/"))


async def test_a_resolver_that_hangs_is_given_up() -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await anyio.sleep_forever()
        return []

    transport = GuardedTransport(Guard(resolve=hang), connect_seconds=0.01)
    with anyio.fail_after(5), pytest.raises(httpx.ConnectTimeout):
        await transport.handle_async_request(httpx.Request("GET", "http://slow.example/"))


# -- the allow-list ------------------------------------------------------------------------------------------------

ALLOWED = [
    ("127.0.0.1:8080", "127.0.0.1", 8080, True),
    ("127.0.0.1:8080", "127.0.0.1", 8081, False),
    ("127.0.0.1", "127.0.0.1", 8081, True),
    ("127.0.0.1:*", "127.0.0.1", 1, True),
    ("127.0.0.1:8080", "::ffff:127.0.0.1", 8080, True),
    ("127.0.0.1:8080", "0x7f.1", 8080, True),
    ("10.0.0.0/8", "10.200.3.4", 443, True),
    ("10.0.0.0/8", "11.0.0.1.example", 443, False),
    ("10.0.0.0/8:443", "10.1.1.1", 80, False),
    ("internal.example", "internal.example", 80, True),
    ("internal.example", "INTERNAL.example.", 80, True),
    ("internal.example", "sub.internal.example", 80, False),
    ("internal.example:443", "internal.example", 80, False),
    ("localhost:*", "localhost", 5000, True),
    ("[::1]:8080", "::1", 8080, True),
    ("[::1]:8080", "::1", 80, False),
    ("::1", "::1", 80, True),
    ("fd00::/8", "fd12::1", 80, True),
]


@pytest.mark.parametrize(("entry", "host", "port", "is_allowed"), ALLOWED)
async def test_the_allow_list(entry: str, host: str, port: int, is_allowed: bool) -> None:
    guard = Guard([entry], resolve=resolver(["192.168.7.7"]))
    if is_allowed:
        assert await guard.addresses(host, port)
    else:
        with pytest.raises(Refused):
            await guard.addresses(host, port)


@pytest.mark.parametrize("entry", ["", " ", "host:port", "host:0", "host:70000", "a/b", "http://x", "a b", "::1::"])
def test_an_entry_that_means_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ConfigError, match="allow_hosts"):
        Guard([entry])


# -- where it connects ---------------------------------------------------------------------------------------------


def answer_host(request: Request, wire: Wire) -> None:
    wire.json({"host": request.headers["host"], "path": request.path})


async def test_the_connection_goes_to_what_was_looked_up_and_the_name_stays() -> None:
    with hostile(answer_host) as server:
        guard = Guard([f"inside.example:{server.port}"], resolve=resolver(["127.0.0.1"]))
        async with httpx.AsyncClient(transport=GuardedTransport(guard), trust_env=False) as client:
            answer = await client.get(f"http://inside.example:{server.port}/x")
    assert answer.json() == {"host": f"inside.example:{server.port}", "path": "/x"}


@pytest.mark.requirement("http:rebinding")
async def test_a_name_that_means_another_address_a_moment_later_changes_nothing() -> None:
    """DNS rebinding: the second look-up would lead to this machine, and nobody makes one."""
    looked: list[str] = []

    async def rebind(host: str, port: int) -> Sequence[str]:
        looked.append(host)
        return [PUBLIC] if len(looked) == 1 else ["127.0.0.1"]

    connected: list[str] = []

    class Network(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            connected.append(f"{request.url.host} as {request.headers['host']}, {request.extensions['sni_hostname']}")
            return httpx.Response(200)

    guard = Guard(resolve=rebind)
    transport = GuardedTransport(guard, network=Network())
    await transport.handle_async_request(httpx.Request("GET", "https://rebind.example/"))
    assert connected == [f"{PUBLIC} as rebind.example, rebind.example"]
    with pytest.raises(Refused, match="loopback"):  # the next request looks for itself
        await transport.handle_async_request(httpx.Request("GET", "https://rebind.example/"))
    assert looked == ["rebind.example"] * 2
    assert len(connected) == 1


async def test_the_next_address_is_tried_where_one_does_not_connect() -> None:
    with hostile(answer_host) as server:
        guard = Guard(["127.0.0.0/8"], resolve=resolver(["127.0.0.99", "127.0.0.1"]))
        with socket.socket() as blocked:
            blocked.bind(("127.0.0.99", 0))  # nobody listens there
            async with httpx.AsyncClient(transport=GuardedTransport(guard), trust_env=False) as client:
                answer = await client.get(f"http://two.example:{server.port}/")
    assert answer.status_code == 200


@contextmanager
def tls_server(folder: Path, name: str) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A server with a certificate for `name`: its port, and what a client needs to trust it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    _certify(name, certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), sock, context.wrap_socket(sock, server_side=True) as tls:
                tls.recv(65_536)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), name="tls-server", daemon=True)
        thread.start()
        yield listener.getsockname()[1], ssl.create_default_context(cafile=str(certificate))
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _certify(name: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


@pytest.mark.parametrize(
    ("host", "is_good"), [("secure.example", True), ("other.example", False), ("127.0.0.1", False)]
)
async def test_a_certificate_is_checked_against_the_name_of_the_url(tmp_path: Path, host: str, is_good: bool) -> None:
    with tls_server(tmp_path, "secure.example") as (port, trusting):
        guard = Guard(["127.0.0.1"], resolve=resolver(["127.0.0.1"]))
        transport = GuardedTransport(guard, verify=trusting)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=5) as client:
            if is_good:
                assert (await client.get(f"https://{host}:{port}/")).text == "ok"
            else:
                with pytest.raises(httpx.ConnectError) as failed:
                    await client.get(f"https://{host}:{port}/")
                assert "CERTIFICATE_VERIFY_FAILED" in reason(failed.value)


# -- redirects -----------------------------------------------------------------------------------------------------


def redirecting(*hops: tuple[int, str]) -> Callable[[Request, Wire], None]:
    """Redirects `/0` by the first hop, `/1` by the second; everything else is an answer."""

    def play(request: Request, wire: Wire) -> None:
        number = int(request.path[1:]) if request.path[1:].isdecimal() else len(hops)
        if number < len(hops):
            status, location = hops[number]
            wire.answer(status, b"moved", Location=location)
        else:
            wire.json({"method": request.method, "headers": dict(request.headers), "body": request.body.decode()})

    return play


SECRET = {"Authorization": "Bearer s3cret", "X-API-Key": "s3cret", "Cookie": "s=1", "X-Tenant": "t", "Accept": "text/x"}


async def fetch(allow: list[str], url: str, method: str = "GET", body: bytes | None = None) -> Any:
    fetcher = Fetcher(Guard(allow, resolve=resolver(["127.0.0.1"])))
    headers = {**SECRET, **({"Content-Type": "application/json"} if body else {})}
    try:
        with anyio.fail_after(10):
            return await fetcher.send(Outgoing(method, httpx.URL(url), headers, body, read_seconds=5))
    finally:
        await fetcher.aclose()


@pytest.mark.requirement("http:redirects")
@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]/", "http://2130706433:1/", "//127.0.0.9:1/x"],
)
async def test_a_redirect_into_private_addresses_is_refused(location: str) -> None:
    with (
        hostile(redirecting((302, location))) as server,
        pytest.raises(Refused, match=r"is (metadata|private|loopback)"),
    ):
        await fetch([f"127.0.0.1:{server.port}"], f"{server.url}/0")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://example.com/", "gopher://x/"])
async def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    with hostile(redirecting((302, location))) as server, pytest.raises(Refused, match="not http or https"):
        await fetch(["127.0.0.1"], f"{server.url}/0")


async def test_redirects_of_the_same_origin_keep_what_the_tool_sends() -> None:
    with hostile(redirecting((307, "/1"), (308, "/2"))) as server:
        answer = await fetch(["127.0.0.1"], f"{server.url}/0", "POST", b'{"a":1}')
    told = httpx.Response(200, content=answer.content).json()
    assert (told["method"], told["body"], told["headers"]["authorization"]) == ("POST", '{"a":1}', "Bearer s3cret")


async def test_credentials_do_not_go_to_another_origin() -> None:
    with (
        hostile(redirecting()) as other,
        hostile(redirecting((307, f"http://elsewhere.example:{other.port}/end"))) as one,
    ):
        answer = await fetch(["127.0.0.1", "elsewhere.example"], f"{one.url}/0", "POST", b"{}")
    told = httpx.Response(200, content=answer.content).json()["headers"]
    assert not {"authorization", "x-api-key", "cookie", "x-tenant"} & set(told)
    assert (told["accept"], told["content-type"]) == ("text/x", "application/json")


AFTER = [
    (303, "POST", "GET"),
    (303, "DELETE", "GET"),
    (302, "POST", "GET"),
    (301, "POST", "GET"),
    (302, "DELETE", "DELETE"),
    (307, "PUT", "PUT"),
]


@pytest.mark.parametrize(("status", "method", "after"), AFTER)
async def test_the_method_after_a_redirect(status: int, method: str, after: str) -> None:
    with hostile(redirecting((status, "/end"))) as server:
        answer = await fetch(["127.0.0.1"], f"{server.url}/0", method, b"{}")
    told = httpx.Response(200, content=answer.content).json()
    assert told["method"] == after
    assert told["body"] == ("" if after == "GET" else "{}")


async def test_redirects_without_end_are_given_up() -> None:
    with hostile(redirecting(*[(302, "/0")])) as server:
        with pytest.raises(Unreadable, match="more than 5 redirects"):
            await fetch(["127.0.0.1"], f"{server.url}/0")
        assert len(server.requests) == 6
