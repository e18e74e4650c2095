"""A fake Connectly on a real socket: strict about its rules, and faulty on demand.

For a shop's own tests, for local work and for demos. It needs only the standard
library::

    with Sandbox(business_id="1f0c…", api_key="secret") as sandbox:
        sandbox.behave("500", times=2)
        …  # point BASE_URL at sandbox.url and complete an order
        sandbox.wait_for(lambda s: len(s.events) == 1)

Or run it in a terminal. A page at ``/`` shows the events as they arrive and what is
wrong with a refused one, and has buttons to misbehave::

    python -m connectly_tracking.sandbox --port 8080 --business-id … --api-key …

``server`` is the sandbox, ``listener`` its port, ``connection`` one client's requests
(read and written by ``wire``). ``endpoint`` decides on the ``answer``: that of the
``rules`` for a ``document``, or the ``behaviour`` that the ``script`` has next.
``ledger`` records the requests, and ``control`` serves the page.

It shares no code, and so no mistakes, with the rest of the package.
"""

from .ledger import Received
from .server import Sandbox

__all__ = ["Received", "Sandbox"]
