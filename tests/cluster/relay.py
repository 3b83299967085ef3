"""A host behind a relay: all that goes between it and the LAN goes through this process, which delays it, slows
it down, drops messages, cuts connections, or calls a test at the very message it waits for.

Nobody notices: the relay has the far host's address on the LAN, and the LAN's addresses on the far host. A
socket belongs to the network namespace in which it was made, so one thread with sockets in both is a wire
between them.

Reads as much of ZMTP (rfc.zeromq.org/spec/23) as tells messages apart, and the kind of each from the fixed
start of our envelope (wire/peerexec.proto)."""

import ctypes
import os
import pathlib
import random
import re
import select
import socket
import struct
import threading
import time

PORT = 7000  # of every peer
CHUNK, QUEUE_MAX, GREETING = 1 << 16, 1 << 20, 64
HEADER = pathlib.Path(__file__).parents[2] / 'src/core/message.h'
KINDS = {int(number): name for name, number in re.findall(r'^ *X \((\w+), (\d+)\)', HEADER.read_text(), re.M)}
ENVELOPE = re.compile(rb'\x0d..XP\x10(.)', re.S)
libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """Sockets in another network namespace; only this thread goes there, and comes back at once."""

    def __init__(self, pid=None):
        self.fd = os.open(f'/proc/{pid or "thread-self"}/ns/net', os.O_RDONLY)

    def socket(self):
        home = os.open('/proc/thread-self/ns/net', os.O_RDONLY)
        self.go(self.fd)
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        finally:
            self.go(home)
            os.close(home)
        made.setblocking(False)
        return made

    def listener(self, address):
        made = self.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, PORT))
        made.listen(64)
        return made

    @staticmethod
    def go(fd):
        if libc.setns(fd, 0) != 0:
            raise OSError(ctypes.get_errno(), 'setns')


class Stream:
    """One direction of one connection, cut into the greeting and messages."""

    def __init__(self, link, outward, source, sink):
        self.link, self.outward, self.source, self.sink = link, outward, source, sink
        self.raw, self.queue, self.size, self.last_due = bytearray(), [], 0, 0
        self.greeting, self.ended = GREETING, False

    def unit_size(self):
        """Bytes of the next whole unit at the start of what was read; 0 = not there yet."""
        at = 0
        while len(self.raw) >= at + 2:
            long, more = self.raw[at] & 2, self.raw[at] & 1
            if long and len(self.raw) < at + 9:
                return 0
            at += 9 + struct.unpack_from('>Q', self.raw, at + 1)[0] if long else 2 + self.raw[at + 1]
            if not more:
                return at if len(self.raw) >= at else 0
        return 0

    def read(self):
        try:
            got = self.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            got = b''  # what it had sent before it died is passed on
        self.ended = not got
        self.raw += got
        if self.greeting and self.raw:  # in pieces: each side waits for some of the other's
            self.put(bytes(self.raw[:self.greeting]))
            passed = min(len(self.raw), self.greeting)
            del self.raw[:passed]
            self.greeting -= passed
        while size := self.unit_size():
            unit = bytes(self.raw[:size])
            del self.raw[:size]
            for part in self.link.treat(self, unit):
                self.put(part)

    def put(self, part):
        due = max(time.monotonic() + self.link.delay(), self.last_due)
        self.last_due = due + (len(part) / self.link.rate if self.link.rate else 0)
        self.queue.append((self.last_due, part))
        self.size += len(part)

    def write(self):
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            due, part = self.queue[0]
            try:
                sent = self.sink.send(part)
            except BlockingIOError:
                return
            except OSError:
                self.ended = True
                self.queue.clear()
                return
            self.size -= sent
            if sent < len(part):
                self.queue[0] = (due, part[sent:])
                return
            self.queue.pop(0)


class Relay(threading.Thread):
    """The wire of one far host. Settings may change at any time; `rng` decides what is lost.

    on_message (outward, kind, message), if given, says what goes on in a message's place: a list of bytes. It
    runs in the relay's thread, so whatever it does is done before anything else passes."""

    def __init__(self, lan, seed=0, on_message=None):
        super().__init__(daemon=True)
        self.on_message, self.rng = on_message, random.Random(seed)
        self.delay_s, self.rate, self.loss, self.stalled = (0, 0), 0, 0, False
        self.n_passed = self.n_lost = 0
        self.failure = None
        self.to_cut = self.to_stop = False
        self.host = lan.host(far=True)
        self.near, self.far = Namespace(), Namespace(self.host.holder.pid)
        self.wake_read, self.wake_write = os.pipe()
        self.streams = {}  # by source
        self.listeners = {listener.fileno(): listener for listener in
                          [self.near.listener(self.host.address)] +
                          [self.far.listener(address) for address in lan.addresses if address != self.host.address]}
        self.entrance = next(iter(self.listeners))
        self.start()

    # ---- what a test does ----

    def stall(self, stalled):
        """Nothing passes, nothing is closed: a cable that was pulled."""
        self.stalled = stalled
        self.wake()

    def cut(self):
        """Every connection is reset."""
        self.to_cut = True
        self.wake()

    def calm(self):
        self.delay_s, self.rate, self.loss = (0, 0), 0, 0
        self.stall(False)

    def stop(self):
        self.to_stop = True
        self.wake()
        self.join()
        for one in list(self.listeners.values()) + list(self.streams):
            one.close()
        for fd in (self.near.fd, self.far.fd, self.wake_read, self.wake_write):
            os.close(fd)

    def wake(self):
        os.write(self.wake_write, b'.')

    # ---- messages ----

    def delay(self):
        return self.rng.uniform(*self.delay_s)

    def treat(self, stream, unit):
        found = ENVELOPE.search(unit, 0, 32) if not unit[0] & 4 else None  # 4: a command of ZMTP itself
        if found and self.on_message:
            return self.on_message(stream.outward, KINDS.get(found[1][0], 'STATUS'), unit)
        lost = bool(found) and self.rng.random() < self.loss
        self.n_lost += lost
        self.n_passed += not lost
        return [] if lost else [unit]

    # ---- connections ----

    def accept(self, listener):
        taken, _ = listener.accept()
        taken.setblocking(False)
        outward = listener.fileno() == self.entrance
        other = (self.far if outward else self.near).socket()
        other.connect_ex((taken.getsockname()[0], PORT))
        for one in (taken, other):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.streams[taken] = Stream(self, outward, taken, other)
        self.streams[other] = Stream(self, not outward, other, taken)

    def close(self, source, reset):
        sink = self.streams.pop(source).sink
        self.streams.pop(sink)
        for one in (source, sink):
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            one.close()

    def serve(self, source, event):
        stream = self.streams[source]
        if event & ~select.POLLOUT and not stream.ended:
            stream.read()
        if event & select.POLLOUT:
            self.streams[stream.sink].write()
        both = [stream, self.streams[stream.sink]]
        if any(one.ended for one in both) and not any(one.ended and one.queue for one in both):
            self.close(source, reset=False)

    # ---- the loop ----

    def interests(self):
        """What to wait for of each socket, and until when."""
        now, until, masks = time.monotonic(), None, {}
        for source, stream in self.streams.items():
            if not stream.ended and stream.size < QUEUE_MAX:
                masks[source] = masks.get(source, 0) | select.POLLIN
            if stream.queue and stream.queue[0][0] <= now:
                masks[stream.sink] = masks.get(stream.sink, 0) | select.POLLOUT
            elif stream.queue:
                until = min(until or stream.queue[0][0], stream.queue[0][0])
        return masks, until

    def turn(self):
        masks, until = ({}, None) if self.stalled else self.interests()
        poll, sources = select.poll(), {source.fileno(): source for source in masks}
        for fd in [self.wake_read] + ([] if self.stalled else list(self.listeners)):
            poll.register(fd, select.POLLIN)
        for source, mask in masks.items():
            poll.register(source, mask)
        for fd, event in poll.poll(None if until is None else max(1, 1000 * (until - time.monotonic()))):
            if fd == self.wake_read:
                os.read(fd, CHUNK)
            elif fd in self.listeners:
                self.accept(self.listeners[fd])
            elif sources[fd] in self.streams:
                self.serve(sources[fd], event)

    def run(self):
        try:
            self.pass_on()
        except Exception as failure:  # for the test, which looks: nothing passes any more
            self.failure = failure
            raise

    def pass_on(self):
        while not self.to_stop:
            self.turn()
            if self.to_cut:
                self.to_cut = False
                while self.streams:
                    self.close(next(iter(self.streams)), reset=True)
