"""What must hold of a cluster of real peerd processes: exact trees with peers that are killed, frozen and
frozen for a while; branch number 0; joining and leaving in mid job; idle peers.

    must_hold.py BUILD_DIRECTORY [ROUNDS]      writes TAP

Waits for events (files renamed, processes ended, lines printed), never for time to pass; where a fault has
to fall into a run, it falls when a peer has been seen using its processor."""

import pathlib
import random
import select
import signal
import subprocess
import sys
import tempfile
import time

from harness import TICK_S, TIMEOUT_S, Peerd, Tap, start, wait_for

T1 = ('-t 1 -a 3 -d 10 -b 4 -r 19 -g 4 --chunk 512', (4130071, 3305118, 10))
T3 = ('-t 0 -b 2000 -q 0.124875 -m 8 -r 42 -g 4 --chunk 512', (4112897, 3599034, 1572))


class Cluster:
    def __init__(self, build, n):
        self.build = pathlib.Path(build).resolve()
        self.module = self.build / 'examples/uts.so'
        self.scratch = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.scratch.name)
        self.peers = []
        for _ in range(n):
            self.add()

    def add(self):
        join = ['--join', self.peers[0].address] if self.peers else []
        self.peers.append(Peerd(self.build, self.directory, f'w{len(self.peers)}', '--log-level', 'error', *join))
        return self.peers[-1]

    def job(self, tree, peers=None, numbers=()):
        command = [self.build / 'tests/cluster/job', 1, self.peers[0].address if self.peers else '-',
                   len(self.peers) if peers is None else peers, self.module, 'uts.tree', tree, *numbers]
        return start(*command, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.kill()
        self.scratch.cleanup()


def finish(process):
    """Counts and figures of a job."""
    output, _ = process.communicate(timeout=TIMEOUT_S)
    lines = dict(line.split(' ', 1) for line in output.splitlines() if ' ' in line)
    counts = tuple(int(lines.get(key, -1)) for key in ('nodes', 'leaves', 'depth'))
    return counts, lines


def exact(counts, tree):
    return counts == tree[1]


def exact_with_fault(build, rng, n, tree, fault):
    with Cluster(build, n) as cluster:
        job = cluster.job(tree[0])
        victim = rng.choice(cluster.peers)
        idle_s = victim.used_s()
        wait_for(lambda: victim.used_s() > idle_s + rng.choice([2, 5, 10]) * TICK_S or job.poll() is not None)
        victim.signal(signal.SIGKILL if fault == 'killed' else signal.SIGSTOP)
        if fault == 'frozen for a while':
            others = [p for p in cluster.peers if p is not victim]
            used_s = sum(p.used_s() for p in others)
            wait_for(lambda: job.poll() is not None or not others or
                     sum(p.used_s() for p in others) > used_s + rng.choice([5, 50, 200]) * TICK_S or
                     used_s == sum(p.used_s() for p in others))
            victim.signal(signal.SIGCONT)
        counts, lines = finish(job)
        return exact(counts, tree), f'{counts} {lines.get("code")}'


def faults(build, rounds):
    rng = random.Random(1)
    for k in range(rounds):
        for n in (1, 2, 4):
            for fault in ('killed', 'frozen', 'frozen for a while'):
                tree = (T1, T3)[k % 2]
                good, what = exact_with_fault(build, rng, n, tree, fault)
                yield good, f'{"T1" if tree is T1 else "T3"} on {n} peers and one {fault}: exact ({what})'


def without_faults(build):
    for n in (0, 1, 2, 4):
        for tree in (T1, T3):
            with Cluster(build, n) as cluster:
                counts, _ = finish(cluster.job(tree[0]))
                yield exact(counts, tree), f'{"T1" if tree is T1 else "T3"} on {n} peers: exact'


def number_zero(build):
    with Cluster(build, 2) as cluster:
        counts, lines = finish(cluster.job(T1[0], numbers=['uts.children=0']))
        stayed = lines['stat.probes_sent'] == '0' and lines['stat.subtasks_sent'] == '0'
        yield exact(counts, T1) and stayed, 'branch number 0: nothing leaves this peer'


def joining_and_leaving(build):
    with Cluster(build, 1) as cluster:
        job = cluster.job(T1[0].replace('-g 4', '-g 16'))
        idle_s = cluster.peers[0].used_s()
        wait_for(lambda: cluster.peers[0].used_s() > idle_s + 5 * TICK_S)
        newcomer = cluster.add()
        wait_for(lambda: newcomer.used_s() > 20 * TICK_S or job.poll() is not None)
        yield job.poll() is None, 'a peer that joins a running job gets work of it'
        cluster.peers[0].signal(signal.SIGTERM)
        code = cluster.peers[0].process.wait(timeout=TIMEOUT_S)
        yield code == 0, f'a peer that is told to leave ends well ({code})'
        counts, lines = finish(job)
        yield exact(counts, T1), f'and the answer is exact ({counts})'
        yield int(lines.get('share.w1', 0)) > 0, 'the newcomer did a part of it'


def idle(build):
    with Cluster(build, 4) as cluster:
        before = [peer.used_s() for peer in cluster.peers]
        began = time.monotonic()
        select.select([], [], [], 4)  # what is measured is a stretch of time
        wall_s = time.monotonic() - began
        for peer, used_s in zip(cluster.peers, before):
            share = (peer.used_s() - used_s) / wall_s
            status = pathlib.Path(f'/proc/{peer.process.pid}/status').read_text()
            rss_kib = int(status.split('VmRSS:')[1].split()[0])
            yield share < 0.005 + TICK_S / wall_s, f'{peer.name} idle: {100 * share:.2f} % of a processor'
            yield rss_kib < 15 * 1024, f'{peer.name} idle: {rss_kib} KiB resident'


def main():
    build, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
    tap = Tap()
    tap.run(without_faults(build), number_zero(build), joining_and_leaving(build), idle(build), faults(build, rounds))
    return tap.end()


sys.exit(main())
