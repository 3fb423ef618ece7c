"""What a device may not: another's topics, and what a broker has beside topics."""

from device import V5, V311, no_local, properties
from house import Case, each_way


class Both:
    """Run for each version."""

    def test_foreign_topics_and_wildcards_are_not_subscribed_to(self):
        five = {
            "tombolo/victim/response": 0x87,
            "tombolo/curious/request": 0x87,
            "$SYS/broker/version": 0x87,
            "#": 0xA2,
            "tombolo/+/response": 0xA2,
            "$share/g/tombolo/curious/response": 0x9E,
        }
        phone = self.device("curious", self.version, self.carrier).opened()
        for topic, code in five.items():
            self.assertEqual(phone.subscribe(topic), [code if self.version == V5 else 0x80], topic)
        self.assertEqual(phone.subscribe([(phone.response, 1), ("#", 1)])[0], 1)
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})

    def test_nobody_else_hears_what_a_device_is_told(self):
        one, other = (self.device(name, self.version, self.carrier).opened() for name in ("one", "two"))
        one.ask("{ __typename }")
        other.ask("{ __typename }")
        self.assertEqual({message.topic for message in other.messages}, {other.response})
        self.assertEqual(len(other.frames), 2)

    def test_a_second_connection_takes_the_place_of_the_first(self):
        first = self.device("same", self.version, self.carrier, thread=False).opened()
        second = self.device("same", self.version, self.carrier).opened()
        code = first.ended()
        if self.version == V5:
            self.assertEqual(code, 0x8E)
        self.assertEqual(second.ask("{ __typename }"), {"__typename": "Query"})

    def test_publishing_retained_or_with_qos_2_or_elsewhere_ends_the_connection(self):
        for name, code, more in (
            ("retains", 0x9A, {"retain": True}),
            ("twice", 0x9B, {"qos": 2}),
            ("elsewhere", 0x87, {"qos": 0, "topic": "tombolo/victim/request"}),
        ):
            phone = self.device(name, self.version, self.carrier, thread=False).opened()
            phone.publish("{}", **more)
            ended = phone.ended()
            if self.version == V5:
                self.assertEqual(ended, code, name)
            else:
                self.assertNotEqual(ended, 0, name)


each_way(Both, globals())


class Five(Case):
    def test_a_foreign_topic_is_refused_and_the_connection_goes_on(self):
        phone = self.device("polite").opened()
        self.assertEqual(phone.acknowledged(phone.publish("{}", "tombolo/victim/request")), 0x87)
        self.assertEqual(phone.acknowledged(phone.publish("{}", phone.response)), 0x87)
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})

    def test_a_response_topic_is_the_devices_own(self):
        phone = self.device("answers").opened()
        request = '{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}'
        other = properties("PUBLISH", ResponseTopic="tombolo/victim/response")
        self.assertEqual(phone.acknowledged(phone.publish(request, properties=other)), 0x87)

    def test_no_local_keeps_no_answer_from_a_device(self):
        phone = self.device("local", listen=None).opened()
        self.assertEqual(phone.subscribe(phone.response, options=no_local()), [1])
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})

    def test_the_server_sends_topics_in_full_however_many_aliases_are_allowed(self):
        for most in (0, 10):
            phone = self.device("aliased", connecting=properties("CONNECT", TopicAliasMaximum=most)).opened()
            phone.ask("{ __typename }")
            phone.ask("{ __typename }")
            self.assertEqual({message.topic for message in phone.messages}, {phone.response}, most)
            self.assertFalse(any(hasattr(message.properties, "TopicAlias") for message in phone.messages))
            phone.close()

    def test_unsuback_tells_what_was_subscribed_to(self):
        phone = self.device("leaves").opened()
        self.assertEqual([phone.unsubscribe(phone.response) for _ in range(2)], [[0], [0x11]])

    def test_a_topic_alias_ends_the_connection(self):
        phone = self.device("alias", thread=False).opened()
        phone.publish("{}", properties=properties("PUBLISH", TopicAlias=1))
        self.assertEqual(phone.ended(), 0x94)


class Older(Case):
    def test_a_foreign_topic_ends_the_connection(self):
        phone = self.device("rude", V311, thread=False).opened()
        phone.publish("{}", "tombolo/victim/request")
        self.assertNotEqual(phone.ended(), 0)
