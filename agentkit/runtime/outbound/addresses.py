"""Which IP addresses belong to everybody, and what the others are.

>>> hazard("10.0.0.1"), hazard("::ffff:169.254.169.254"), hazard("93.184.215.14")
('private', 'metadata', None)
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

__all__ = ["Address", "Network", "hazard", "literal", "plain"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_KINDS: Final = (  # IANA special-purpose registries; the first that fits names the address
    ("metadata", ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")),
    ("loopback", ("127.0.0.0/8", "::1")),
    ("unspecified", ("0.0.0.0/8", "::")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    ("shared (carrier-grade NAT)", ("100.64.0.0/10",)),
    (
        "reserved",
        (
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    ),
)
_TABLE: Final[tuple[tuple[str, tuple[Network, ...]], ...]] = tuple(
    (kind, tuple(ip_network(each) for each in networks)) for kind, networks in _KINDS
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all that IANA has given to anybody
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


def hazard(address: Address | str) -> str | None:
    """What kind of address it is that a request of somebody else must not reach; None where it may.

    An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4, Teredo) is as good as that one.
    """
    parsed = plain(address)
    if isinstance(parsed, IPv6Address):
        inner = _inside(parsed)
        if inner is not None and (found := hazard(inner)) is not None:
            return found
    for kind, networks in _TABLE:
        if any(parsed in network for network in networks):
            return kind
    if isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_UNICAST and parsed not in _NAT64:
        return "reserved"
    return None


def plain(address: Address | str) -> Address:
    """The address without a zone; of a mapped one (`::ffff:10.0.0.1`) the IPv4 address it is."""
    parsed = ip_address(str(address).partition("%")[0])
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def literal(host: str) -> Address | None:
    """The address that a host is written as, in any form that systems read; None for a name.

    >>> literal("0x7f.1"), literal("2130706433"), literal("example.com")
    (IPv4Address('127.0.0.1'), IPv4Address('127.0.0.1'), None)
    """
    bare = host.strip("[]").rstrip(".")
    try:
        return plain(bare)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


# -- parts ---------------------------------------------------------------------------------------------------------


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one reach in the end."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.sixtofour
