"""The browsers of this machine; none is downloaded, and none talks to another."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]
#: Whatever it looks for outside, it asks a proxy that is not there.
PREFERENCES: Final[dict[str, Any]] = {
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": ".localhost",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


def chromium() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def firefox() -> str | None:
    return shutil.which("firefox") or shutil.which("firefox-esr")


def chromium_at(url: str, home: Path) -> list[str]:
    """Shows one page until it is ended."""
    profile = f"--user-data-dir={home / 'chromium'}"
    # Without the port it would end once the page is there.
    asked = ["--headless", "--remote-debugging-port=0", profile, url]
    return [chromium() or "", *FLAGS, *asked]


def firefox_at(url: str, home: Path) -> list[str]:
    """Shows one page until it is ended."""
    profile = home / "firefox"
    profile.mkdir()
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in PREFERENCES.items()
    ]
    (profile / "user.js").write_text("".join(lines))
    asked = ["--headless", "--no-remote", "--profile", str(profile), url]
    return [firefox() or "", *asked]
