"""peerd --beacon on a LAN: peers on hosts of their own find one another, run a job, lose and find a peer
again, and hear nonsense.

    beacon.py BUILD_DIRECTORY      writes TAP; skipped where network namespaces are not permitted

Waits for events only."""

import os
import pathlib
import sys
import tempfile

import harness
from harness import Lan, Peerd, run, top, wait_for

PORT = 7411
COUNTS = 'nodes 4130071\nleaves 3305118\ndepth 10\n'
NONSENSE = ('', 'PEEREXEC1 ', 'PEEREXEC1 nowhere', 'PEEREXEC1 tcp://127.0.0.1:9', 'PEEREXEC1 tcp://10.9.0.1:99999',
            'PEEREXEC1 ' + 'x' * 200, 'PEEREXEC2 tcp://10.9.0.1:9')

BROADCAST = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for text in [word.encode() + b"\\0" for word in sys.argv[1:]] + [bytes(range(256)) * 4]:
    s.sendto(text, ("10.9.0.255", {PORT}))
"""


class Network:
    def __init__(self, build, scratch, lan):
        self.build, self.scratch = pathlib.Path(build).resolve(), scratch
        self.hosts = [lan.host(), lan.host(), lan.host(first_interface=True)]
        self.late, self.user = lan.host(), lan.host()
        self.peers = {}

    def add(self, name, host):
        self.peers[name] = Peerd(self.build, self.scratch, name, '--listen', f'tcp://{host.address}:*', '--beacon',
                                 PORT, '--log-level', 'info', host=host)
        return self.peers[name]

    def knows(self, name, others):
        """That this peer can give work to the others, as it says itself."""
        answers = top(self.build, self.peers[name].address, host=self.user)
        known = [answer['peers'] for answer in answers if answer['name'] == name] or [[]]
        there = {peer['address'] for peer in known[0] if not peer['unresponsive']}
        return there >= {self.peers[other].address for other in others if other != name}

    def all_know(self, names):
        return all(self.knows(name, names) for name in names)


def find_one_another(network):
    for name, host in zip('abc', network.hosts):
        network.add(name, host)
    wait_for(lambda: network.all_know('abc'))
    yield True, 'three peers find one another by beacons, one of them by its second interface'
    done = run(network.build / 'tools/peer-run', '--join', network.peers['a'].address,
               network.build / 'examples/uts.so', 'uts.tree', '-t 1 -a 3 -d 10 -b 4 -r 19 -g 4', host=network.user)
    yield done.returncode == 0 and done.stdout == COUNTS, 'a job from a fourth host is exact', done.stderr
    answers = top(network.build, network.peers['a'].address, host=network.user)
    runs = [answer['stats']['subtasks_run'] for answer in answers]
    yield sum(n > 0 for n in runs) >= 2, 'and more than one of them worked', runs


def come_and_go(network):
    network.add('d', network.late)
    wait_for(lambda: network.all_know('abcd'))
    yield True, 'a peer that starts later is found'
    network.peers['d'].kill()
    before = network.peers['d'].address
    network.add('d', network.late)
    wait_for(lambda: network.all_know('abcd'))
    yield network.peers['d'].address != before, 'and again after it was killed and restarted on another port'
    code = network.peers.pop('d').end()
    yield code == 0, 'a peer with a beacon leaves well', code


def nonsense(network):
    done = run(sys.executable, '-c', BROADCAST, *NONSENSE, host=network.user)
    yield done.returncode == 0, 'nonsense is broadcast', done.stderr
    network.add('e', network.late)
    wait_for(lambda: network.all_know('abce'))
    yield True, 'and a peer that starts after it is found'


def quiet(network):
    """By now they have heard each other's beacons for seconds: each was joined once, not every second."""
    for name in 'abc':
        peer = network.peers[name]
        log = peer.log.read_text()
        for other in 'abc':
            joins = log.count(f'joined by way of {network.peers[other].address}\n')
            yield joins <= 1, f'{name} joined {other} at most once', log
        warned = log.count('nothing is encrypted')
        yield warned == 1, f'{name} warns once that its address is open', log
    codes = [peer.end() for peer in network.peers.values()]
    yield codes == [0] * len(codes), 'all leave well', codes


def wrong(network):
    for listen in ([], ['--listen', 'tcp://127.0.0.1:*']):
        done = run(network.build / 'tools/peerd', '--beacon', PORT, *listen, host=network.user)
        yield done.returncode == 2 and '--listen tcp://ADDRESS:PORT' in done.stderr, \
            f'a beacon of a loopback address is refused {listen}', done.stderr


def main():
    harness.enter_own_network()
    tap = harness.Tap()
    with tempfile.TemporaryDirectory() as directory, Lan() as lan:
        network = Network(sys.argv[1], pathlib.Path(directory), lan)
        try:
            tap.run(find_one_another(network), come_and_go(network), nonsense(network), quiet(network),
                    wrong(network))
        finally:
            for peer in network.peers.values():
                peer.kill()
        left = [name for name in os.listdir(directory) if not name.endswith('.log')]
        tap.check(not left, 'no file is left behind', left)
    return tap.end()


sys.exit(main())
