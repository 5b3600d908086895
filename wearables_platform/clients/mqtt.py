"""MQTT: any number of connections driven by one thread, manual acknowledgements in order, bounded both ways.

All driver calls happen in the loop's thread; the other threads hand it calls. Nothing here waits for anything but the
network: who takes deliveries gets them in the loop's thread and must only put them somewhere.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from wearables_platform.clients.mqtt_session import (
    AckQueue,
    Backoff,
    Delivery,
    MqttNotConnected,
    MqttOptions,
    MqttQueueFull,
    MqttRefused,
    parse_mqtt_url,
)

__all__ = [
    "Delivery",
    "MqttConnection",
    "MqttListener",
    "MqttLoop",
    "MqttNotConnected",
    "MqttOptions",
    "MqttQueueFull",
    "MqttRefused",
    "parse_mqtt_url",
]

_log = logging.getLogger(__name__)

_HOUSEKEEPING_S: Final = 1.0  # keepalives are counted in tens of seconds
_READS_PER_TURN: Final = 200  # so that one busy connection does not starve the others
_CONNECT_TIMEOUT_S: Final = 5.0
# Half-open connections end after about 30 s, whatever the keepalive of MQTT.
_TCP_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class MqttLoop:
    """One thread that drives all connections given to it.

    Connecting blocks the thread for at most `_CONNECT_TIMEOUT_S` when a broker does not answer at all: the connections
    of one loop should go to one broker.
    """

    def __init__(self, name: str = "mqtt") -> None:
        self._selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._connections: list[MqttConnection] = []
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> MqttLoop:
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 10.0) -> None:
        """Close every connection and end the thread."""
        self._stopping.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            # Not by the thread itself: it may end before it is woken, and its descriptors be somebody else's by then.
            for open_socket in (self._wake_read, self._wake_write):
                open_socket.close()

    @property
    def running(self) -> bool:
        """Whether the thread turns."""
        return self._thread.is_alive()

    def raise_if_failed(self) -> None:
        """Raise what ended the thread, if anything did: without it nothing is sent or heard any more."""
        if self._failure is not None:
            raise self._failure

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the loop's thread, soon."""
        self._calls.append(function)
        self._wake()

    def add(self, connection: MqttConnection) -> None:
        """Drive a connection from now on; called in the loop's thread."""
        self._connections.append(connection)

    def watch(self, connection: MqttConnection, sock: Any, events: int) -> None:
        """Wait for these events of a socket; 0 forgets it. Called in the loop's thread."""
        known = sock in self._selector.get_map()
        if known and events:
            self._selector.modify(sock, events, connection)
        elif known:
            self._selector.unregister(sock)
        elif events:
            self._selector.register(sock, events, connection)

    def _wake(self) -> None:
        # A full buffer of earlier calls: it is awake already. Closed: it has ended, and says why if it should not have.
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            for connection in self._connections:
                connection.say_goodbye()
        except Exception as exc:  # noqa: BLE001  # handed to the threads that rely on this one
            _log.exception("the MQTT loop ended")
            self._failure = exc
        finally:
            self._selector.close()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._idle_s()):
            if key.data is None:
                self._drain_wakes()
            else:
                key.data.ready_for(events)
        for _ in range(len(self._calls)):  # those of now: what they call for comes after the next look at the sockets
            self._calls.popleft()()
        now_s = time.monotonic()
        for connection in self._connections:
            connection.housekeep(now_s)

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(4096):
                continue

    def _idle_s(self) -> float:
        due_s = min((connection.due_s for connection in self._connections), default=0.0)
        return min(_HOUSEKEEPING_S, max(0.0, due_s - time.monotonic())) if self._connections else _HOUSEKEEPING_S


@dataclass(frozen=True)
class MqttListener:
    """What a connection tells; every function is called in the loop's thread and must not wait.

    `message` gets each delivery; `changed` is told that something may go on (connected, or something acknowledged), or
    that the broker refused.
    """

    message: Callable[[Delivery], None]
    changed: Callable[[], None] = lambda: None


class MqttConnection:
    """One session with the broker, made again whenever it is lost.

    Delivery: a received QoS 1 message is acknowledged only after `done`, in the order received. A published one lives
    as long as the session it was handed to: `connections` tells a new one, and whoever published sends again what
    nothing has confirmed (`edge.outbox`). If the driver did so too, what the last broker had not acknowledged would
    overtake older messages that it had acknowledged and then lost.
    """

    def __init__(
        self, loop: MqttLoop, options: MqttOptions, listener: MqttListener, subscriptions: Sequence[str] = ()
    ) -> None:
        self._loop = loop
        self._options = options
        self._listener = listener
        self._filters = [(options.filter_for(topic), 1) for topic in subscriptions]
        self._backoff = Backoff(options.reconnect_first_s, options.reconnect_max_s)
        self._acks = AckQueue()
        self._session = 0
        self._granted = False
        self._paused = False
        self._wants_write = False
        self._handled = 0
        self._on_their_way: set[int] = set()  # publications; lost with the session
        self._lock = threading.Lock()
        self._outstanding = 0
        self.refusal: str | None = None  # what the broker last said no to
        self.connections = 0  # sessions that stood so far
        self.due_s = 0.0  # when `housekeep` has work
        self._client = self._build()

    @property
    def ready(self) -> bool:
        """Whether the session stands and every subscription was granted."""
        return self._granted

    @property
    def unacknowledged(self) -> int:
        """Deliveries not acknowledged yet."""
        return len(self._acks)

    @property
    def outstanding(self) -> int:
        """Publications not acknowledged yet."""
        return self._outstanding

    def open(self) -> None:
        """Start connecting, in the background."""
        self._loop.call(lambda: self._loop.add(self))

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        """Hand one message over for sending.

        Raises
        ------
        MqttNotConnected
            There is no session; nothing was taken.
        MqttQueueFull
            `max_outstanding` messages wait for the broker; nothing was taken.
        """
        if not self._granted:
            msg = f"{self._options.client_id} has no session with the broker"
            raise MqttNotConnected(msg)
        with self._lock:
            if self._outstanding >= self._options.max_outstanding:
                msg = f"{self._outstanding} messages of {self._options.client_id} wait for the broker"
                raise MqttQueueFull(msg)
            self._outstanding += 1
        self._loop.call(partial(self._publish, topic, payload, qos))

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Declare deliveries done: they, and what came before them and is done too, are acknowledged."""
        sessions: dict[int, list[int]] = {}
        for delivery in deliveries:
            if delivery.qos:
                sessions.setdefault(delivery.session, []).append(delivery.packet_id)
        for session, packet_ids in sessions.items():
            ready = self._acks.done(session, packet_ids)
            if ready:
                self._loop.call(partial(self._acknowledge, session, ready))

    # Everything below runs in the loop's thread.

    def housekeep(self, now_s: float) -> None:
        """Connect when it is time, keep the session alive otherwise."""
        if now_s < self.due_s:
            return
        self.due_s = now_s + _HOUSEKEEPING_S
        if self._client.socket() is not None:
            self._client.loop_misc()
        else:
            self._connect(now_s)

    def ready_for(self, events: int) -> None:
        """Read and write what the socket allows."""
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE and self._client.socket() is not None:
            self._client.loop_write()

    def say_goodbye(self) -> None:
        """End the session properly, if the broker listens; what was not acknowledged comes again."""
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()

    def _read(self) -> None:
        for _ in range(_READS_PER_TURN):
            before = self._handled
            self._client.loop_read()
            # The driver does not tell "nothing left" from "one packet read": count what it called back.
            if self._handled == before or self._paused or self._client.socket() is None:
                break
        self._read_on_what_is_decrypted()

    def _read_on_what_is_decrypted(self) -> None:
        """Go on soon where TLS holds bytes that are decrypted already: the selector knows nothing of these."""
        sock = self._client.socket()
        if isinstance(sock, ssl.SSLSocket) and sock.pending() and not self._paused:
            self._loop.call(self._read)

    def _connect(self, now_s: float) -> None:
        self.due_s = now_s + self._backoff.next_s()
        self._client = self._build()  # a used one would send again what it kept, ahead of older messages
        try:
            self._client.reconnect()
        except ssl.SSLError as exc:
            why = exc.verify_message if isinstance(exc, ssl.SSLCertVerificationError) else exc.reason
            self.refusal = f"{self._options.client_id} finds no TLS it can trust there: {why}"
            _log.warning(self.refusal)
            self._listener.changed()
        except OSError as exc:
            _log.warning("cannot reach the broker at %s:%d: %s", self._options.host, self._options.port, exc)

    def _publish(self, topic: str, payload: bytes, qos: int) -> None:
        info = self._client.publish(topic, payload, qos)
        if info.rc in (paho.MQTT_ERR_NO_CONN, paho.MQTT_ERR_QUEUE_SIZE):
            self._settle(1)
        else:
            self._on_their_way.add(info.mid)

    def _acknowledge(self, session: int, packet_ids: list[int]) -> None:
        if session != self._session:
            return
        for packet_id in packet_ids:
            self._client.ack(packet_id, 1)
        if self._paused and len(self._acks) <= self._options.max_unacknowledged // 2:
            self._paused = False
            self._watch()
            self._read_on_what_is_decrypted()

    def _settle(self, count: int) -> None:
        with self._lock:
            self._outstanding -= count
        self._listener.changed()

    def _watch(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            wanted = 0 if self._paused else selectors.EVENT_READ
            self._loop.watch(self, sock, wanted | (selectors.EVENT_WRITE if self._wants_write else 0))

    def _build(self) -> paho.Client:
        options = self._options
        is_v5 = options.protocol == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            clean_session=None if is_v5 else options.clean,
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        if options.username:
            client.username_pw_set(options.username, options.password)
        if options.tls:
            client.tls_set(options.ca_file)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(options.receive_maximum)
        client.max_queued_messages_set(options.max_outstanding)
        self._set_callbacks(client)
        if is_v5:
            client.connect_async(
                options.host,
                options.port,
                options.keepalive_s,
                clean_start=options.clean,
                properties=self._connect_properties(),
            )
        else:
            client.connect_async(options.host, options.port, options.keepalive_s)
        return client

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0 if self._options.clean else self._options.session_expiry_s
        properties.ReceiveMaximum = self._options.receive_maximum
        return properties

    def _set_callbacks(self, client: paho.Client) -> None:
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = lambda *_: self._set_wants_write(True)
        client.on_socket_unregister_write = lambda *_: self._set_wants_write(False)

    def _set_wants_write(self, wanted: bool) -> None:
        self._wants_write = wanted
        self._watch()

    def _on_socket_open(self, _client: Any, _userdata: Any, sock: Any) -> None:
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _TCP_KEEPALIVE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self._paused = False
        self._loop.watch(self, sock, selectors.EVENT_READ)

    def _on_socket_close(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.watch(self, sock, 0)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._handled += 1
        if reason.is_failure:
            self.refusal = f"{self._options.client_id} may not connect: {reason}"
            _log.warning(self.refusal)
            self._listener.changed()
            return
        self._session += 1
        self._acks.begin(self._session)
        if self._filters:
            self._client.subscribe(self._filters)
        else:
            self._stands()

    def _on_subscribe(self, _client: Any, _userdata: Any, _packet_id: int, reasons: Any, _properties: Any) -> None:
        self._handled += 1
        refused = [topic for (topic, _), reason in zip(self._filters, reasons, strict=True) if reason.is_failure]
        if refused:
            self.refusal = f"{self._options.client_id} may not read {refused}"
            _log.warning(self.refusal)
            return
        self._stands()

    def _stands(self) -> None:
        self.refusal = None
        self.connections += 1
        self._backoff.reset()
        self._granted = True
        self._listener.changed()

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._handled += 1
        if self._granted:
            _log.info("%s lost its session: %s", self._options.client_id, reason)
        self._granted = False
        self._wants_write = False
        self._acks.begin(0)
        self._settle(len(self._on_their_way))
        self._on_their_way.clear()
        self.due_s = time.monotonic() + self._backoff.next_s()

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self._handled += 1
        if message.qos:
            self._acks.received(message.mid)
        delivery = Delivery(
            _topic_of(message), bytes(message.payload), self._session, message.mid, message.qos, message.dup
        )
        self._listener.message(delivery)
        if len(self._acks) >= self._options.max_unacknowledged:
            self._paused = True
            self._watch()

    def _on_publish(self, _client: Any, _userdata: Any, packet_id: int, *_: Any) -> None:
        self._handled += 1
        self._on_their_way.discard(packet_id)
        self._settle(1)


def _topic_of(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""  # no topic of ours; who takes it refuses it
