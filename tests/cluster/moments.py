"""One test per moment at which a worker, a master, or both can die, on real processes: the relay between them
kills at the very message, and what their logs say must have happened in this order.

    moments.py BUILD_DIRECTORY [NAME]...      writes TAP

A master of one slot has three naps, the worker behind the relay gets one of them; or three parts of pi, which have
a shared input. The naps are real time; no check depends on when anything else happens."""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

import harness
from harness import Lan, Peerd, Tap, holds, look, start, wait_for
from relay import PORT, Relay

DETECT_MS, NAP_MS, LONG_MS = 1000, 300, 2000
REACTIONS = ('PROBE', 'DISPATCH', 'DECLINE')

# ---- what is done to a message --------------------------------------------------------------------------


def kill(*victims, parts=lambda message: [message]):
    def act(scene, message):
        for victim in victims:
            scene.kill(victim)
        return parts(message)
    return act


def half(message):
    return [message[:len(message) // 2]]


def twice(_, message):
    return [message, message]


def lose(_, message):
    return []


# ---- when -----------------------------------------------------------------------------------------------


def first(to_worker, kind):
    """Of this kind and direction, once the worker was probed."""
    return lambda seen: seen[-1] == (to_worker, kind) and (True, 'PROBE') in seen


def after(kind):
    """When what the master asks or sends next shows that it got the worker's message. (Of what is still on its way
    when a connection breaks ZeroMQ may keep nothing.)"""
    return lambda seen: (False, kind) in seen[:-1] and seen[-1] in [(True, one) for one in REACTIONS]


# ---- what must be said, in this order ---------------------------------------------------------------------

PROBED = ('master', r'surplus -> probe p\d+ to worker with a subtask')
RUNS = ('worker', r'probe from master, slots free -> its subtask runs')
SENT = ('master', r'worker free -> (?P<s>s\d+)\.1 runs there')
RESULT = ('worker', r'(?P<s>s\d+)\.1 ended -> result to master')
LOST = [('master', r'worker silent past the limit -> 1 attempts there lost'),
        ('master', r'@s has no attempt left -> takeable again')]
DELIVERED = ('master', r'@s\.1 done at worker -> delivered')
ABANDONED = ('worker', r'master silent past the limit -> 0 attempts there lost, 1 for it abandoned')
ENDED = ('master', r'root ended -> job done')


def killed(kind, *victims):
    return [('relay', f'{kind}: {victim} killed') for victim in victims]


ASKED = ('worker', r'shared input of 8 bytes not here -> master asked for it')
ASKED_AGAIN = ('worker', r'shared input of 8 bytes has not come -> master asked for it')
GIVEN = ('master', r'worker asks for a shared input of 8 bytes -> sent')
BEGINS = ('worker', r'shared input of 8 bytes from master -> what waits for it begins')

NAPS, PI = 'bogosity', 'pi'
PARTS = ('--samples', '60000000', '--grain', '20000000')


class Moment:
    def __init__(self, name, when, act, said, never=(), nap_ms=NAP_MS, job=NAPS):
        self.name, self.when, self.act, self.said, self.never, self.nap_ms = name, when, act, said, never, nap_ms
        self.job = job
        self.victims = [who for who in ('worker', 'master') if any(f'{who} killed' in line for _, line in said)]


MOMENTS = [
    Moment('the worker dies before it accepts', first(True, 'PROBE'), kill('worker'),
           [PROBED, *killed('PROBE', 'worker'), ('master', 'no answer to p.* from worker -> placed elsewhere'),
            ('master', 'has no attempt left -> takeable again'), ENDED], never=[RUNS]),
    Moment('the worker dies after it has accepted', after('OFFER'), kill('worker'),
           [PROBED, RUNS, SENT, *killed('PROBE', 'worker'), *LOST, ENDED], never=[RESULT]),
    Moment('the worker dies while it sends the result', first(False, 'RESULT'), kill('worker', parts=half),
           [PROBED, RUNS, SENT, RESULT, *killed('RESULT', 'worker'), *LOST, ENDED], never=[DELIVERED]),
    Moment('the worker dies right after it has sent the result', after('RESULT'), kill('worker'),
           [PROBED, RUNS, SENT, RESULT, DELIVERED, *killed('.*', 'worker'), ENDED], never=LOST[1:]),
    Moment('the master dies before the worker accepts', first(True, 'PROBE'), kill('master'),
           [PROBED, *killed('PROBE', 'master'), RUNS, ABANDONED], never=[SENT], nap_ms=LONG_MS),
    Moment('the master dies after the worker has accepted', first(False, 'OFFER'), kill('master'),
           [PROBED, RUNS, *killed('OFFER', 'master'), ABANDONED], never=[SENT, RESULT], nap_ms=LONG_MS),
    Moment('the master dies while the result comes', first(False, 'RESULT'), kill('master', parts=half),
           [PROBED, RUNS, SENT, RESULT, *killed('RESULT', 'master')], never=[DELIVERED]),
    Moment('the master dies right after it got the result', after('RESULT'), kill('master'),
           [PROBED, RUNS, SENT, RESULT, DELIVERED, *killed('.*', 'master')], never=[ENDED]),
    Moment('both die when the worker has accepted', first(False, 'OFFER'), kill('worker', 'master'),
           [PROBED, RUNS, *killed('OFFER', 'worker', 'master')], never=[SENT, RESULT]),
    Moment('the result comes twice', first(False, 'RESULT'), twice,
           [PROBED, RUNS, SENT, RESULT, DELIVERED, ('master', r'late result of @s\.1 from worker -> dropped'), ENDED],
           never=LOST),
    Moment('the worker dies while it asks for the shared input', first(False, 'FETCH'), kill('worker', parts=half),
           [PROBED, *killed('FETCH', 'worker'), ('master', 'has no attempt left -> takeable again'), ENDED],
           never=[GIVEN, BEGINS], job=PI),
    Moment('the master dies while it sends the shared input', first(True, 'SHARED'), kill('master', parts=half),
           [PROBED, ASKED, GIVEN, *killed('SHARED', 'master'), ABANDONED], never=[BEGINS], job=PI),
    Moment('the shared input is lost', first(True, 'SHARED'), lose,
           [PROBED, ASKED, GIVEN, ASKED_AGAIN, GIVEN, BEGINS, RESULT, DELIVERED, ENDED], never=LOST, job=PI),
    Moment('the shared input comes twice', first(True, 'SHARED'), twice,
           [PROBED, ASKED, GIVEN, BEGINS, RESULT, DELIVERED, ENDED], never=LOST, job=PI),
]


class Scene:
    """A master, a worker behind a relay, and a moment at which something is done to a message."""

    def __init__(self, build, directory, master_host, relay, moment):
        self.build, self.directory, self.master_host, self.relay = build, directory, master_host, relay
        self.moment, self.seen, self.acted, self.told = moment, [], False, []
        self.worker = self.master = None

    def on_message(self, to_worker, kind, message):
        self.seen.append((to_worker, kind))
        if self.acted or not self.moment.when(self.seen):
            return [message]
        self.acted = True
        return self.moment.act(self, message)

    def kill(self, victim):
        process = {'worker': self.worker and self.worker.process, 'master': self.master}[victim]
        process.kill()
        process.wait()
        now = time.time()
        clock = time.strftime('%H:%M:%S', time.localtime(now)) + f'.{int(now * 1000) % 1000:03d}'
        self.told.append((clock, 'relay', f'{self.seen[-1][1]}: {victim} killed'))

    def begin_worker(self):
        self.worker = Peerd(self.build, self.directory, 'worker', '--listen', f'tcp://{self.relay.host.address}:{PORT}',
                            '--detect-ms', DETECT_MS, '--log-level', 'debug', host=self.relay.host,
                            modules=(f'examples/{self.moment.job}.so',))

    def run_master(self, nap_ms):
        """What came out of it; empty when it was killed."""
        job = self.moment.job
        task, text = {NAPS: ('tree', f'--width 3 --depth 1 --sleep {nap_ms}'), PI: ('estimate', ' '.join(PARTS))}[job]
        with (self.directory / 'master.log').open('a') as log:
            self.master = start(self.build / 'tests/cluster/job', '--name', 'master', '--listen',
                                f'tcp://{self.master_host.address}:{PORT}', '--speculation', 0, '--detect-ms',
                                DETECT_MS, '--log', 1, 1, self.worker.address, 1, self.build / f'examples/{job}.so',
                                f'{job}.{task}', text, host=self.master_host,
                                stdout=subprocess.PIPE, stderr=log)
        output, _ = self.master.communicate(timeout=harness.TIMEOUT_S)
        return output.splitlines() if self.master.returncode == 0 else []

    def lines(self):
        """(time, who, what) of all of them; of each in its own order."""
        found = list(self.told)
        for who in ('master', 'worker'):
            for line in (self.directory / f'{who}.log').read_text().splitlines():
                if match := re.match(r'([\d:.]{12}) \S+ \S+: (.*)', line):
                    found.append((match[1], who, match[2]))
        return found

    def idle(self):
        found = look(self.build, self.worker.address, self.relay.host)
        return found and not holds(found)


def missing(said, lines):
    """What was not said in its turn. Among several, order is as fine as the clock of the logs."""
    at, now, names = {}, '', {}
    for who, pattern in said:
        for name, value in names.items():
            pattern = pattern.replace(f'@{name}', value)
        own = [line for line in lines if line[1] == who]
        found = next((k for k in range(at.get(who, 0), len(own))
                      if own[k][0] >= now and re.search(pattern, own[k][2])), None)
        if found is None:
            return f'{who}: {pattern}'
        at[who], now = found + 1, own[found][0]
        names.update(re.search(pattern, own[found][2]).groupdict())
    return None


def right(build, job, output):
    """Four naps, whoever had them; or what the serial program says."""
    if 'code PX_OK' not in output:
        return False
    if job == NAPS:
        return any(re.match(r'\D*4\b', line) for line in output)
    serial = subprocess.run([build / f'examples/{job}-seq', *PARTS], check=True, capture_output=True, text=True)
    return set(serial.stdout.splitlines()) <= set(output)


def play(build, moment, lan, relay, directory):
    scene = Scene(build, directory, lan.hosts[0], relay, moment)
    relay.on_message = scene.on_message
    try:
        scene.begin_worker()
        output = scene.run_master(moment.nap_ms)
        if 'worker' not in moment.victims:
            wait_for(scene.idle)
        lines = scene.lines()
        detail = '\n'.join(map(' '.join, sorted(lines)))
        not_said = missing(moment.said, lines)
        yield scene.acted and not not_said, moment.name, f'not said: {not_said}\n{detail}'
        for one in moment.never:
            yield bool(missing([*moment.said[:1], one], lines)), f'{moment.name}: never "{one[1]}"', detail
        if 'master' not in moment.victims:
            yield right(build, moment.job, output), f'{moment.name}: the job is right', output
        if 'worker' in moment.victims:
            scene.begin_worker()
        output = scene.run_master(NAP_MS)
        yield right(build, moment.job, output), f'{moment.name}: so is the next one, under the same names', output
        wait_for(scene.idle)
        yield True, f'{moment.name}: the worker has nothing left of it'
    finally:
        if scene.worker:
            scene.worker.kill()


def main():
    harness.enter_own_network()
    build, tap = pathlib.Path(sys.argv[1]).resolve(), Tap()
    with Lan() as lan:
        lan.host()
        relay = Relay(lan)
        for moment in MOMENTS:
            if len(sys.argv) == 2 or moment.name in sys.argv[2:]:
                with tempfile.TemporaryDirectory() as directory:
                    tap.run(play(build, moment, lan, relay, pathlib.Path(directory)))
        relay.stop()
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
