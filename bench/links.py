#!/usr/bin/env python3
"""What leaves, and whether it pays: loops of one peer beside another behind a link that a relay delays and slows down.

For links of 0, 5 and 50 ms each way, and 1 to 100 MB/s or as fast as the relay is, each of the loops of
tests/cluster/links.py three ways, in turns: all here (branch number 0), all there (this peer's slot is held), and as
peerexec decides. Printed are the medians of the repeats, in ms, how many went, and what it took of all here.

    python3 bench/links.py BUILD [--repeats N] [--json FILE]

Needs network namespaces of one's own (unshare -n), as the tests with a relay do. Exit: 0; 1 it took over 1.05 of all
here somewhere, or missed the better of the two by more than half; 2 usage."""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests/cluster'))

import harness  # noqa: E402
from harness import Lan  # noqa: E402
from links import ALL, BRINGS, COMPUTES, MOVES, TINY, Link, Scene  # noqa: E402
from relay import Relay  # noqa: E402

LINKS = [Link(delay_ms, rate) for delay_ms in (0, 5, 50) for rate in (1, 10, 100, 0)]
WORST, MISSED = 1.05, 1.5
AWAY_MAX_S = 10  # what would take longer there is not tried


def away_s(scene, load, link):
    """All there; None where it is out of the question."""
    count, _, size, result_size = map(int, load.words.split())
    if link.rate and count * max(size, result_size) / (link.rate * 1e6) > AWAY_MAX_S:
        return None
    return scene.play(load, link, held=1)[1]


def measure(scene, load, link, repeats):
    here, away, decided, back = [], [], [], []
    for _ in range(repeats):
        here.append(scene.play(load, link, number=0)[1])
        away.append(away_s(scene, load, link))
        n, took_s = scene.play(load, link, ALL)
        back.append(n)
        decided.append(took_s)
    there = None if None in away else statistics.median(away)
    return {'load': load.name, 'delay_ms': link.delay_ms, 'mb_per_s': link.rate, 'of': load.count,
            'here_s': statistics.median(here), 'there_s': there, 'decided_s': statistics.median(decided),
            'went': statistics.median(back)}


def show(row):
    here, there, decided = row['here_s'], row['there_s'], row['decided_s']
    better = min(here, there) if there else here
    fine = decided <= WORST * here and decided <= MISSED * better
    print(f"{row['load']:9} {row['delay_ms']:5} {row['mb_per_s'] or '-':>6} {here * 1e3:9.1f} "
          f"{f'{there * 1e3:9.1f}' if there else '        -'} {decided * 1e3:9.1f} {row['went']:6.0f} of "
          f"{row['of']:<4} {decided / here:6.2f} {'' if fine else '  <--'}", flush=True)
    return fine


def main():
    parser = argparse.ArgumentParser(usage='links.py BUILD [--repeats N] [--json FILE]')
    parser.add_argument('build', type=pathlib.Path)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--json', type=pathlib.Path)
    given = parser.parse_args()
    harness.enter_own_network()
    print('load      ms each   MB/s   here ms  there ms decided ms   went          of here')
    rows, fine = [], True
    with Lan() as lan, tempfile.TemporaryDirectory() as directory:
        lan.host()
        relay = Relay(lan)
        scene = Scene(given.build.resolve(), lan, relay, directory)
        try:
            for load in (COMPUTES, MOVES, BRINGS, TINY):
                for link in LINKS:
                    rows.append(measure(scene, load, link, given.repeats))
                    fine &= show(rows[-1])
            scene.worker.end()
        finally:
            scene.worker.kill()
            relay.stop()
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + '\n')
    return 0 if fine else 1


if __name__ == '__main__':
    sys.exit(main())
