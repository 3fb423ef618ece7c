"""What the test files share: one server for each, and devices that are closed at the end."""

import unittest

from device import V5, V311, Device
from server import Server

CREATE = "mutation ($title: String!) { createList(input: { title: $title }) { id title } }"
TITLED = "query ($title: String!) { listLists(limit: 1000, filter: { title: { eq: $title } }) { items { title } } }"


class Case(unittest.TestCase):
    """A case with a server that its class shares."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def device(self, client_id, version=V5, carrier="tcp", **more):
        """A connection that has been asked for."""
        device = Device(self.server, client_id, version, carrier, **more)
        self.addCleanup(device.close)
        return device

    def titled(self, device, title):
        """How many lists have this title."""
        return len(device.ask(TITLED, title=title)["listLists"]["items"])


def each_way(case, into, ways=None):
    """Puts a class for each way in place of `case`."""
    for version, carrier in ways or [(version, carrier) for version in (V311, V5) for carrier in ("tcp", "ws")]:
        name = f"{case.__name__}_{'5' if version == V5 else '3_1_1'}_{carrier}"
        into[name] = type(name, (case, Case), {"version": version, "carrier": carrier, "__module__": case.__module__})
    del into[case.__name__]
