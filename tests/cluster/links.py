"""Loops of one peer beside another that is behind a link: what leaves is what is back before a slot here would have
it. Real peers, and a relay that delays and slows down all between them; asserted is what was done where, never a
time. bench/links.py measures the same.

    links.py BUILD"""

import pathlib
import sys
import tempfile

import harness
from harness import Lan, Peerd, Tap, holds, look, run, wait_for
from relay import PORT, Relay

ALL = 65535


class Load:
    """So many subtasks that each keep a slot for so long, with so many bytes there and back."""

    def __init__(self, name, count, us, size=100, result_size=16):
        self.name, self.count, self.words = name, count, f'{count} {us} {size} {result_size}'


COMPUTES = Load('computes', 40, 20000)
MOVES = Load('moves', 60, 5000, 1 << 18)
BRINGS = Load('brings', 60, 5000, 100, 1 << 18)
TINY = Load('tiny', 300, 500)


class Link:
    """Of a delay each way, in ms, and a rate in MB/s; 0 = as it is."""

    def __init__(self, delay_ms, rate):
        self.delay_ms, self.rate = delay_ms, rate

    def __str__(self):
        return f'{self.delay_ms} ms, ' + (f'{self.rate} MB/s' if self.rate else 'any rate')

    def set(self, relay):
        relay.delay_s, relay.rate = (self.delay_ms / 1000,) * 2, self.rate * 1e6


# Where it goes, as a part of all that may, or must, be done there.
CASES = [
    (COMPUTES, Link(0, 0), 0.1, 1), (COMPUTES, Link(50, 1), 0.05, 1),
    (MOVES, Link(0, 0), 0.05, 1), (MOVES, Link(0, 1), 0, 0.1), (MOVES, Link(50, 1), 0, 0.1),
    (BRINGS, Link(5, 1), 0, 0.1),
    (TINY, Link(0, 0), 0, 1), (TINY, Link(50, 0), 0, 0.2),
]


def read(done, count, what):
    """(all that a job of work.loads has said, by its keys, seconds); it must have had all its results."""
    told = dict(line.split(' ', 1) for line in done.stdout.splitlines() if ' ' in line)
    right, took_ns = told.get('loads', '0 0').split()
    if int(right) != count:
        raise RuntimeError(f'{what}: {done.stdout}{done.stderr}')
    return told, int(took_ns) / 1e9


class Scene:
    """A peer behind a relay; jobs come from a host in front of it."""

    def __init__(self, build, lan, relay, directory):
        self.build, self.lan, self.relay = build, lan, relay
        address = f'tcp://{relay.host.address}:{PORT}'
        self.worker = Peerd(build, directory, 'worker', '--listen', address, '--in-process', host=relay.host,
                            modules=('tests/cluster/work.so',))

    def play(self, load, link, number=ALL, held=0):
        """(how many results came from there, seconds); nothing of a former job is known to the peers of this one, and
        the worker holds nothing for its application any more."""
        wait_for(lambda: not holds(look(self.build, self.worker.address, self.relay.host)))
        link.set(self.relay)
        done = run(self.build / 'tests/cluster/job', '--listen', f'tcp://{self.lan.hosts[0].address}:{PORT}', 1,
                   self.worker.address, 1, self.build / 'tests/cluster/work.so', 'work.loads', f'{load.words} {held}',
                   f'work.loads={number}', host=self.lan.hosts[0])
        self.relay.calm()
        told, took_s = read(done, load.count, f'{load.name}, {link}')
        return int(told['stat.results_received']), took_s


def check(scene):
    for load, link, least, most in CASES:
        try:
            back, took_s = scene.play(load, link)
        except RuntimeError as wrong:
            yield False, f'{load.name}, {link}: all are done', wrong
            continue
        yield (least * load.count <= back <= most * load.count,
               f'{load.name}, {link}: {"not all stay" if least else "few go" if most < 1 else "all are done"}',
               f'{back} of {load.count} were done there, in {took_s:.3f} s')


def main():
    harness.enter_own_network()
    build, tap = pathlib.Path(sys.argv[1]).resolve(), Tap()
    with Lan() as lan, tempfile.TemporaryDirectory() as directory:
        lan.host()
        relay = Relay(lan)
        scene = Scene(build, lan, relay, directory)
        try:
            tap.run(check(scene))
            scene.worker.end()
        finally:
            scene.worker.kill()
            relay.stop()
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
