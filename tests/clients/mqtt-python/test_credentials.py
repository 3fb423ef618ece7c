"""Who is calling, and the codes of those who are not let in."""

from device import V5, V311, properties
from house import Case
from server import API_KEY


class Credentials(Case):
    # paho gives the codes of 3.1.1 as those of MQTT 5 that mean the same: 2 is 0x85, 4 is 0x86, 5 is 0x87.

    def test_a_wrong_key_is_refused(self):
        for version in (V311, V5):
            self.assertEqual(self.device("x", version, password="wrong", listen=None).refused(), 0x86, version)

    def test_no_credential_is_refused(self):
        for version in (V311, V5):
            self.assertEqual(self.device("x", version, user=None, listen=None).refused(), 0x87, version)

    def test_an_id_that_names_no_device_is_refused(self):
        for version in (V311, V5):
            for bad in ("a/b", "a+", ":x", "x" * 129):
                self.assertEqual(self.device(bad, version, listen=None).refused(), 0x85, (version, bad))

    def test_a_will_is_refused(self):
        self.assertEqual(self.device("x", V5, will="tombolo/x/response", listen=None).refused(), 0x83)
        self.assertEqual(self.device("x", V311, will="tombolo/x/response", listen=None).refused(), 0x87)

    def test_mqtt_5_without_an_id_gets_one_whose_topics_are_its_own(self):
        phone = self.device("", V5, listen=None).opened()
        own = phone.told.AssignedClientIdentifier
        self.assertRegex(own, "^[0-9a-f-]{36}$")
        self.assertEqual(phone.subscribe(f"tombolo/{own}/response"), [1])

    def test_a_header_of_the_websocket_is_a_credential(self):
        phone = self.device("headed", V5, "ws", user=None, headers={"x-api-key": API_KEY}).opened()
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})
        self.assertEqual(self.device("headed", V5, "ws", user=None, listen=None).refused(), 0x87)

    def test_an_authentication_method_in_connect_is_a_credential(self):
        # paho sends and reads no AUTH, so that renewing the credential is another client's test.
        shown = properties("CONNECT", AuthenticationMethod="x-api-key", AuthenticationData=API_KEY.encode())
        phone = self.device("enhanced", user=None, connecting=shown).opened()
        self.assertEqual(phone.told.AuthenticationMethod, "x-api-key")
        self.assertEqual(phone.ask("{ __typename }"), {"__typename": "Query"})
        for method, data, code in (("x-api-key", b"wrong", 0x86), ("kerberos", b"x", 0x8C)):
            shown = properties("CONNECT", AuthenticationMethod=method, AuthenticationData=data)
            self.assertEqual(self.device("x", user=None, connecting=shown, listen=None).refused(), code)

    def test_connack_says_what_there_is_not(self):
        told = self.device("listens", V5).opened().told
        none = ("RetainAvailable", "WildcardSubscriptionAvailable", "SubscriptionIdentifierAvailable")
        for name in (*none, "SharedSubscriptionAvailable"):
            self.assertEqual(getattr(told, name), 0, name)
        # As it was asked for.
        self.assertFalse(hasattr(told, "SessionExpiryInterval"))
        self.assertEqual(told.MaximumQoS, 1)
        self.assertEqual(told.MaximumPacketSize, 5 * 1024 * 1024)
        self.assertFalse(hasattr(told, "TopicAliasMaximum"))
