"""A fake Connectly on a real socket: its rules kept strictly, its faults on demand.

For a shop's own tests, for local work and for demos; standard library only::

    with Sandbox(business_id="1f0c…", api_key="secret") as sandbox:
        sandbox.behave("500", times=2)
        …  # point BASE_URL at sandbox.url and complete an order
        sandbox.wait_for(lambda s: len(s.events) == 1)

or, in a terminal, with a page at ``/`` that shows the events as they arrive, says what
is wrong with a refused one, and has buttons to misbehave::

    python -m connectly_tracking.sandbox --port 8080 --business-id … --api-key …

Top to bottom: ``server`` is the sandbox, ``connection`` the talk on one socket,
``endpoint`` what a request earns (``rules``, ``document``) and what is done to it
instead (``behaviour``, ``script``), ``ledger`` what was seen, ``control`` the page and
its neighbours. It shares no code with the rest of the package, and so no mistakes.

And for what a shop stands on besides, two pieces that know nothing of Connectly:
``proxy`` is a link to any server that can be broken at will (``relay`` does it,
``manner`` is how it is asked to, ``door`` its port, ``link`` one connection), and
``chaos`` runs a command, kills it at random and starts it again (``group`` is the
command and whoever it starts)::

    python -m connectly_tracking.sandbox.proxy --to redis://127.0.0.1:6379/0
    python -m connectly_tracking.sandbox.chaos -- celery -A shop worker
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .ledger import Received
from .server import Sandbox

if TYPE_CHECKING:
    from .chaos import Chaos
    from .proxy import Proxy
else:

    def __getattr__(name: str) -> object:
        # On first use: `python -m` warns about a module that its package has imported.
        if name not in {"Chaos", "Proxy"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{name.lower()}", __name__), name)


__all__ = ["Chaos", "Proxy", "Received", "Sandbox"]
