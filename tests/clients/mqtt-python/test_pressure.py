"""Windows, sizes and silences."""

import json

from device import V5, V311, properties, until
from house import CREATE, Case, each_way

MIB = 1024 * 1024


class Pressure:
    """Run for each version and carrier."""

    def open(self, client_id, **more):
        return self.device(client_id, self.version, self.carrier, **more).opened()

    def test_a_large_answer_comes_whole(self):
        phone = self.open("reads")
        title = "x" * 100_000
        for _ in range(10):
            phone.ask(CREATE, title=title)
        before = len(phone.messages)
        items = phone.ask("{ listLists(limit: 1000) { items { title } } }")["listLists"]["items"]
        self.assertGreaterEqual(sum(item["title"] == title for item in items), 10)
        self.assertGreater(max(len(message.payload) for message in phone.messages[before:]), 1_000_000)

    def test_many_requests_at_once_are_all_answered(self):
        phone = self.open("hasty")
        operations = [phone.start("{ __typename }") for _ in range(200)]
        for operation in operations:
            self.assertEqual(phone.done(operation)[0]["payload"]["data"], {"__typename": "Query"})
        phone.wait("all acknowledgements", lambda: len(phone.published) == 200)

    def test_pings_keep_an_idle_connection(self):
        phone = self.open("idle", keepalive=1)
        phone.wait("three pings", lambda: sum("PINGRESP" in line for line in phone.log) >= 3)
        self.assertEqual(phone.ends, [])
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})

    def test_who_is_silent_for_one_and_a_half_keep_alives_is_given_up(self):
        phone = self.open("silent", keepalive=1, thread=False)
        code = phone.ended()
        if self.version == V5:
            self.assertEqual(code, 0x8D)


each_way(Pressure, globals())


class Five(Case):
    def test_who_wants_no_keep_alive_is_told_the_longest(self):
        for asked, told in ((0, 1200), (65535, 1200), (1200, None)):
            phone = self.device("calm", keepalive=asked).opened()
            self.assertEqual(getattr(phone.told, "ServerKeepAlive", None), told, asked)
            phone.close()

    def test_no_more_is_under_way_than_the_receive_maximum(self):
        window = 2
        phone = self.device("narrow", connecting=properties("CONNECT", ReceiveMaximum=window), manual_ack=True).opened()
        other = self.device("wide").opened()
        taken = 0
        operations = [phone.start("{ noSuchField }") for _ in range(7)]
        while taken < len(operations):
            open_now = min(window, len(operations) - taken)
            phone.wait("a full window", lambda: len(phone.messages) == taken + open_now)
            for _ in range(3):
                other.ask("{ __typename }")
            self.assertEqual(len(phone.messages), taken + open_now)
            for message in phone.messages[taken:]:
                phone.client.ack(message.mid, message.qos)
            taken += open_now
        self.assertEqual({frame["id"] for frame in phone.frames}, set(operations))

    def test_an_answer_larger_than_the_maximum_packet_size_ends_the_connection(self):
        writer = self.device("fills").opened()
        writer.ask(CREATE, title="y" * 2000)
        phone = self.device("small", connecting=properties("CONNECT", MaximumPacketSize=1000), thread=False).opened()
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})
        phone.start("{ listLists(limit: 1000) { items { title } } }")
        self.assertEqual(phone.ended(), 0x95)
        self.assertTrue(all(len(message.payload) < 1000 for message in phone.messages))

    def test_a_packet_larger_than_the_servers_maximum_ends_the_connection(self):
        # Over TCP alone: paho writes no more of so large a packet to a WebSocket than the socket takes at once.
        phone = self.device("huge", thread=False).opened()
        phone.publish("z" * (phone.told.MaximumPacketSize + 1))
        self.assertEqual(phone.ended(), 0x95)

    def test_a_request_just_below_the_maximum_is_taken(self):
        phone = self.device("big").opened()
        query = "{ __typename } #" + "x" * (4 * MIB)
        mid = phone.publish(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        self.assertEqual(phone.acknowledged(mid), 0)
        until("an answer", lambda: phone.of("1"))


class Older(Case):
    def test_a_packet_larger_than_the_maximum_ends_the_connection(self):
        phone = self.device("huge", V311, thread=False).opened()
        phone.publish("z" * (5 * MIB + 1))
        self.assertNotEqual(phone.ended(), 0)
