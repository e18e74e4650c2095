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
"""

from .ledger import Received
from .server import Sandbox

__all__ = ["Received", "Sandbox"]
