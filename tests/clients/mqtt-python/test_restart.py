"""A server that ends, well or badly, and comes back: so do its devices, by paho's own reconnecting."""

import json
import signal

from device import V5
from house import CREATE, Case, each_way


class Restart:
    """Run for each version and carrier."""

    def test_an_end_in_order_is_told_and_the_device_comes_back(self):
        phone = self.device("stays", self.version, self.carrier).opened()
        live = phone.start("subscription { onCreateList { title } }")
        phone.ask(CREATE, title="before")
        phone.wait("what it listens to", lambda: phone.of(live))
        self.assertEqual(self.server.end(signal.SIGTERM), 0)
        code = phone.ended()
        if self.version == V5:
            self.assertEqual(code, 0x8B)
        self.back(phone)

    def test_after_a_kill_the_device_comes_back(self):
        phone = self.device("stays", self.version, self.carrier).opened()
        phone.ask(CREATE, title="before")
        self.server.end(signal.SIGKILL)
        phone.ended()
        self.back(phone)

    def back(self, phone):
        """What was settled is there, what paho kept meanwhile is carried out, and a subscription is told again."""
        kept = f"kept by {self.id()}"
        frame = {"id": "kept", "type": "subscribe", "payload": {"query": CREATE, "variables": {"title": kept}}}
        mid = phone.publish(json.dumps(frame))
        self.server.start()
        phone.wait("the second CONNACK", lambda: 0 in phone.connects[1:])
        self.assertEqual(phone.acknowledged(mid), 0)
        self.assertGreaterEqual(self.titled(phone, "before"), 1)
        self.assertEqual(self.titled(phone, kept), 1)
        live = phone.start("subscription { onCreateList { title } }")
        phone.ask(CREATE, title="after")
        phone.wait("what it listens to", lambda: phone.of(live))


each_way(Restart, globals())
