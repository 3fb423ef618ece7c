"""Queries, mutations and subscriptions, in both versions over TCP and WebSocket."""

import json

from device import properties, until
from house import CREATE, each_way


class Operations:
    """Run for each version and carrier."""

    def open(self, client_id, **more):
        return self.device(client_id, self.version, self.carrier, **more).opened()

    def test_a_query_is_answered_and_complete(self):
        phone = self.open("asks")
        frames = phone.done(phone.start("{ __typename }"))
        phone.wait("complete", lambda: len(phone.frames) == 2)
        self.assertEqual([frame["type"] for frame in phone.of(frames[0]["id"])], ["next", "complete"])
        self.assertEqual(frames[0]["payload"]["data"], {"__typename": "Query"})

    def test_a_mutation_takes_effect(self):
        phone = self.open("writes")
        title = f"of {self.id()}"
        self.assertEqual(phone.ask(CREATE, title=title)["createList"]["title"], title)
        self.assertEqual(self.titled(phone, title), 1)

    def test_with_qos_0_all_is_the_same(self):
        phone = self.open("lossy", listen=0)
        title = f"of {self.id()}"
        self.assertEqual(phone.ask(CREATE, qos=0, title=title)["createList"]["title"], title)
        self.assertEqual(self.titled(phone, title), 1)
        self.assertTrue(all(message.qos == 0 for message in phone.messages))

    def test_answers_have_the_qos_that_was_granted_and_are_not_retained(self):
        phone = self.open("granted", listen=1)
        phone.ask("{ __typename }", qos=0)
        told = {(message.topic, message.qos, message.retain) for message in phone.messages}
        self.assertEqual(told, {(phone.response, 1, False)})

    def test_who_asks_for_qos_2_is_granted_qos_1(self):
        phone = self.open("wants-two", listen=None)
        self.assertEqual(phone.subscribe(phone.response, 2), [1])

    def test_a_subscription_tells_of_what_others_do_until_it_is_completed(self):
        phone, other = self.open("hears"), self.open("does")
        live = phone.start("subscription { onCreateList { title } }")
        phone.ask("{ __typename }")
        other.ask(CREATE, title="one")
        phone.wait("the first", lambda: phone.of(live))
        self.assertEqual(phone.of(live)[0]["payload"]["data"], {"onCreateList": {"title": "one"}})
        mid = phone.publish(json.dumps({"id": live, "type": "complete"}))
        phone.acknowledged(mid)
        phone.ask("{ __typename }")
        other.ask(CREATE, title="two")
        phone.ask("{ __typename }")
        self.assertEqual(len(phone.of(live)), 1)

    def test_one_connection_of_a_device_asks_and_another_listens(self):
        listener = self.open("pair")
        publisher = self.open("pair:pub", listen=None)
        publisher.start("{ __typename }")
        listener.wait("the answer", lambda: len(listener.frames) == 2)
        self.assertEqual(listener.frames[0]["payload"]["data"], {"__typename": "Query"})
        self.assertEqual(publisher.frames, [])

    def test_while_nobody_listens_mutations_are_carried_out(self):
        alone, reader = self.open("alone", listen=None), self.open("reader")
        title = f"of {self.id()}"
        frame = {"id": "1", "type": "subscribe", "payload": {"query": CREATE, "variables": {"title": title}}}
        # The acknowledgement says that it is in the queue.
        alone.acknowledged(alone.publish(json.dumps(frame)))
        until("it is carried out", lambda: self.titled(reader, title) == 1)

    def test_after_unsubscribing_nothing_comes_any_more(self):
        phone, reader = self.open("leaves"), self.open("stays")
        phone.ask("{ __typename }")
        before = len(phone.frames)
        phone.unsubscribe(phone.response)
        mid = phone.publish('{"id":"9","type":"subscribe","payload":{"query":"{ __typename }"}}')
        phone.acknowledged(mid)
        reader.ask("{ __typename }")
        phone.unsubscribe(phone.response)
        self.assertEqual(len(phone.frames), before)

    def test_what_is_no_frame_is_told_as_an_error(self):
        phone = self.open("babbles")
        mid = phone.publish("hello")
        phone.wait("an error", lambda: phone.frames)
        self.assertEqual((phone.frames[0]["type"], phone.frames[0]["id"]), ("error", ""))
        self.assertEqual(phone.acknowledged(mid), 0x99 if self.version == 5 else 0)

    def test_a_device_comes_back_by_reconnecting(self):
        phone = self.open("returns")
        title = f"of {self.id()}"
        phone.ask(CREATE, title=title)
        phone.client.loop_stop()
        phone.client.reconnect()
        phone.client.loop_start()
        phone.wait("the second CONNACK", lambda: len(phone.connects) == 2)
        self.assertEqual(self.titled(phone, title), 1)

    def test_properties_that_say_nothing_to_the_server_are_taken(self):
        phone = self.open("talks")
        more = {}
        if self.version == 5:
            said = properties("PUBLISH", PayloadFormatIndicator=1, MessageExpiryInterval=60, ContentType="application/json")
            said.UserProperty = [("a", "b"), ("a", "c")]
            said.CorrelationData = b"123"
            said.ResponseTopic = phone.response
            more = {"properties": said}
        mid = phone.publish('{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}', **more)
        self.assertEqual(phone.acknowledged(mid), 0)
        self.assertEqual(phone.done("1")[0]["payload"]["data"], {"__typename": "Query"})


each_way(Operations, globals())
