"""A device over `paho-mqtt`: it publishes frames of graphql-transport-ws and takes those that answer."""

import json
import select
import threading
import time

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from server import API_KEY

DEADLINE_S = 20
# Between two looks at a condition that nobody tells of.
LOOK_S = 0.01

V311, V5 = MQTTv311, MQTTv5


def until(what, look):
    """Looks until `look` gives something true, and gives that: no test sleeps and hopes."""
    end = time.monotonic() + DEADLINE_S
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(LOOK_S)
    return found


def properties(packet, **values):
    """Properties of MQTT 5 for a packet of this type."""
    made = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Device:
    """One connection. What comes is noted by the thread that paho runs, or by `step` where there is none."""

    def __init__(
        self,
        server,
        client_id,
        version=V5,
        carrier="tcp",
        *,
        user="x-api-key",
        password=API_KEY,
        keepalive=60,
        connecting=None,
        headers=None,
        listen=1,
        thread=True,
        manual_ack=False,
        will=None,
    ):
        self.version = version
        self.thread = thread
        self.messages, self.frames, self.connects, self.ends = [], [], [], []
        self.subscribed, self.unsubscribed, self.published, self.log = {}, {}, {}, []
        self._serial = 0
        self._told = threading.Condition()
        self.client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=version,
            transport="tcp" if carrier == "tcp" else "websockets",
            manual_ack=manual_ack,
        )
        if carrier != "tcp":
            client.ws_set_options(path="/mqtt", headers=headers)
        if user is not None:
            client.username_pw_set(user, password)
        if will:
            client.will_set(will, "x")
        name = client_id.split(":")[0]
        self.listen = listen
        self.request, self.response = f"tombolo/{name}/request", f"tombolo/{name}/response"
        client.reconnect_delay_set(min_delay=1, max_delay=1)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda _c, _u, _f, code, _p: self._note(self.ends, code.value)
        client.on_message = self._on_message
        client.on_subscribe = lambda _c, _u, mid, codes, _p: self._put(self.subscribed, mid, [c.value for c in codes])
        client.on_unsubscribe = lambda _c, _u, mid, codes, _p: self._put(self.unsubscribed, mid, [c.value for c in codes])
        client.on_publish = lambda _c, _u, mid, code, _p: self._put(self.published, mid, code.value)
        client.on_log = lambda _c, _u, _level, line: self._note(self.log, line)
        more = {"clean_start": True, "properties": connecting} if version == V5 else {}
        client.connect("127.0.0.1", server.mqtt_port if carrier == "tcp" else server.port, keepalive=keepalive, **more)
        if thread:
            client.loop_start()

    def _note(self, where, what):
        with self._told:
            where.append(what)
            self._told.notify_all()

    def _put(self, where, key, what):
        with self._told:
            where[key] = what
            self._told.notify_all()

    def _on_connect(self, client, _userdata, _flags, code, told):
        # As an app does: what it listens to it subscribes to anew at each connection.
        if code.value == 0 and self.listen is not None:
            client.subscribe(self.response, self.listen)
        self.told = told
        self._note(self.connects, code.value)

    def _on_message(self, _client, _userdata, message):
        self._note(self.messages, message)
        self._note(self.frames, json.loads(message.payload))

    def wait(self, what, look):
        """Waits for something that paho tells, and gives it."""
        if not self.thread:
            return until(what, lambda: self.step() or look())
        with self._told:
            if not self._told.wait_for(look, DEADLINE_S):
                raise AssertionError(f"in vain: {what}; log: {self.log[-10:]}")
            return look()

    def step(self):
        """Reads what is there, where no thread does: nothing is said by itself, no ping either."""
        self.client.loop_write()
        socket = self.client.socket()
        if socket is not None and select.select([socket], [], [], LOOK_S)[0]:
            self.client.loop_read()

    def opened(self):
        """Waits until it is connected, and listens if it is to; itself."""
        self.wait("an answer to CONNECT", lambda: self.connects)
        assert self.connects[-1] == 0, f"refused: {self.connects}"
        if self.listen is not None:
            self.wait("SUBACK", lambda: self.subscribed)
        return self

    def refused(self):
        """The code that CONNECT is refused with."""
        self.wait("an answer to CONNECT", lambda: self.connects)
        code = self.connects[0]
        self.close()
        return code

    def subscribe(self, topic, qos=1, options=None):
        """The codes of SUBACK."""
        _, mid = self.client.subscribe(topic, options=options) if options else self.client.subscribe(topic, qos)
        return self.wait("SUBACK", lambda: self.subscribed.get(mid))

    def unsubscribe(self, topic):
        """The codes of UNSUBACK."""
        _, mid = self.client.unsubscribe(topic)
        self.wait("UNSUBACK", lambda: mid in self.unsubscribed)
        return self.unsubscribed[mid]

    def publish(self, payload, topic=None, qos=1, **more):
        """Its packet id."""
        return self.client.publish(topic or self.request, payload, qos, **more).mid

    def acknowledged(self, mid):
        """The code of PUBACK."""
        self.wait("PUBACK", lambda: mid in self.published)
        return self.published[mid]

    def start(self, query, qos=1, **variables):
        """Starts an operation; its id."""
        self._serial += 1
        operation = f"{self._serial}"
        frame = {"id": operation, "type": "subscribe", "payload": {"query": query, "variables": variables}}
        self.publish(json.dumps(frame), qos=qos)
        return operation

    def of(self, operation):
        """The frames of an operation so far."""
        return [frame for frame in self.frames if frame["id"] == operation]

    def done(self, operation):
        """The frames of an operation, once it is over."""
        self.wait(f"the end of {operation}", lambda: any(frame["type"] != "next" for frame in self.of(operation)))
        return self.of(operation)

    def ask(self, query, qos=1, **variables):
        """One operation from its beginning to its end; its data."""
        first = self.done(self.start(query, qos, **variables))[0]
        assert first["type"] == "next" and "errors" not in first["payload"], first
        return first["payload"]["data"]

    def ended(self):
        """The code that the connection ended with."""
        return self.wait("the end of the connection", lambda: self.ends)[0]

    def close(self):
        """Ends it."""
        self.client.disconnect()
        if self.thread:
            self.client.loop_stop()


def no_local():
    """Subscription options of MQTT 5 with No Local."""
    return SubscribeOptions(qos=1, noLocal=True)
