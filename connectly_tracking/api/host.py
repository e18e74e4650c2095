"""What a URL's host says of itself, without a name server.

An address has many spellings: ``127.0.0.1`` is also ``127.1``, ``2130706433``,
``0x7f.1`` and ``::ffff:7f00:1``. Each is read here as a resolver would.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from unicodedata import normalize
from urllib.parse import urlsplit

MAX_HOST: Final = 253  # characters
#: Labels with dots between them; an underscore is common in container networks.
_NAME: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?",
    re.IGNORECASE,
)
#: Networks whose addresses end with the IPv4 address that they lead to.
_IPV4_INSIDE: Final = tuple(
    map(IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96"))
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine by its own name or address."""
    name = _plain(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return any(it.is_loopback or it.is_unspecified for it in _addresses(name))


def is_link_local(host: str) -> bool:
    """Return whether a host is an address of the local link, as a cloud's metadata."""
    return any(it.is_link_local for it in _addresses(_plain(host)))


def is_plain_host(host: str) -> bool:
    """Return whether a host is a valid name, or an address in its usual form."""
    try:
        address = ip_address(host)
    except ValueError:
        is_name = len(host) <= MAX_HOST and _NAME.fullmatch(host) is not None
        return is_name and not _addresses(_plain(host))
    return isinstance(address, IPv4Address) or address.ipv4_mapped is None


def is_loopback_url(url: str) -> bool:
    """Return whether a URL leads to this machine; False if it has no host."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _plain(host: str) -> str:
    """Return a host as an HTTP client looks it up: full-width signs are plain ones."""
    name = normalize("NFKC", host).replace("\u3002", ".").lower()
    return name.strip("[]").rstrip(".")


def _addresses(name: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """Return the address that a name spells, and the IPv4 address inside it."""
    text = name.partition("%")[0]  # a zone
    try:
        address = ip_address(text)
    except ValueError:
        try:
            # Also reads one to four decimal, octal or hexadecimal numbers, but ignores
            # what follows a space.
            is_word = text.split() == [text]
            return (IPv4Address(socket.inet_aton(text)),) if is_word else ()
        except (OSError, ValueError):
            return ()
    if isinstance(address, IPv4Address):
        return (address,)
    if any(address in network for network in _IPV4_INSIDE):
        return address, IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _SIX_TO_FOUR:
        return address, IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    return (address,)
