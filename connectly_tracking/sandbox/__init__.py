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

``server`` is the sandbox. Its ``connection`` listens to the port, and reads and writes
one client's requests by ``wire``. ``endpoint`` decides on the answer, that of the
``rules`` or the ``behaviour`` that is next, and records the requests. ``control`` has
the page.

It shares no code, and so no mistakes, with the rest of the package.
"""

from .endpoint import Received
from .server import Sandbox

__all__ = ["Received", "Sandbox"]
