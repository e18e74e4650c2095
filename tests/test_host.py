from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.api.host import is_link_local, is_loopback, is_loopback_url

LOOPBACK = [
    *["localhost", "LOCALHOST", "localhost.", "api.localhost", "a.b.LocalHost."],
    *["127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1"],
    *["2130706433", "0x7f000001", "0X7F.1", "017700000001", "0177.0.0.1"],
    *["127.0.0.1.", "127.000.000.001"],
    *["::1", "[::1]", "0:0:0:0:0:0:0:1", "::1%lo", "[::1%25lo]"],
    *["::ffff:127.0.0.1", "::ffff:7f00:1", "[::FFFF:127.9.9.9]"],
    *["::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
    *["0.0.0.0", "0", "::", "[::]"],
    *[
        "\uff11\uff12\uff17.0.0.1",
        "\u24dbocalhost",
        "127\u30020\u30020\u30021",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    ],
]
ELSEWHERE = [
    *["", "api.connectly.ai", "localhost.evil.example", "notlocalhost"],
    *["127.0.0.1.nip.io", "127.0.0.1.evil.example", "128.0.0.1", "126.255.255.255"],
    *["::2", "2130706432.5.example", "1.2.3.4", "16909060"],
    *["localhost-1", "local.host", "127.0.0.256", "::ffff:8.8.8.8", "256.1", " "],
    *["127.0.0.1 evil.example", "127.0.0.1\nx", "\ud800", "x" * 10_000],
]
LINK_LOCAL = [
    *["169.254.169.254", "169.254.0.1", "169.254.43518", "2852039166", "0xa9fea9fe"],
    *["0251.0376.0251.0376", "0xa9.254.0251.254", "[::ffff:169.254.169.254]"],
    *["::ffff:a9fe:a9fe", "::169.254.169.254", "64:ff9b::a9fe:a9fe"],
    *["2002:a9fe:a9fe::1", "fe80::1", "[FE80::1%25eth0]", "febf::1"],
    "\uff11\uff16\uff19.254.169.254",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_each_spelling_of_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [*ELSEWHERE, *LINK_LOCAL])
def test_another_host_is_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", LINK_LOCAL)
def test_each_spelling_of_a_link_local_address_is_known(host: str) -> None:
    assert is_link_local(host)


@pytest.mark.parametrize("host", [*ELSEWHERE, *LOOPBACK])
def test_another_host_is_not_link_local(host: str) -> None:
    assert not is_link_local(host)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:8080/path", True),
        ("http://me:word@localhost", True),
        ("http://[::1]:1", True),
        ("http://[::1", False),
        ("http://", False),
        ("nothing", False),
        ("https://api.connectly.ai/localhost", False),
        ("https://localhost@api.connectly.ai", False),
    ],
)
def test_the_host_of_a_url_decides(url: str, is_here: bool) -> None:
    assert is_loopback_url(url) is is_here


@given(st.text())
def test_any_text_is_answered(host: str) -> None:
    assert is_loopback(host) in {True, False}
    assert is_link_local(host) in {True, False}


@given(st.integers(127 << 24, (128 << 24) - 1))
def test_each_address_of_the_loopback_network_is_known(number: int) -> None:
    high, low = number >> 24, number & 0xFF_FFFF
    assert is_loopback(str(number))
    assert is_loopback(hex(number))
    assert is_loopback(f"0{number:o}")
    assert is_loopback(f"{high}.{low}")
    assert is_loopback(f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}")
