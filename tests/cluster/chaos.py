"""Chaos on real processes: peers on hosts of their own are killed, frozen, restarted (at another address too),
drained, cut off and slowed down, and applications are killed, all from one seed, while several applications
run jobs with known answers one after the other.

    chaos.py BUILD_DIRECTORY [--seconds N] [--seed N] [--log-level LEVEL]     writes TAP

What must hold: every answer is right and comes within JOB_S; what a killed application had going is gone
everywhere within DETECT_S + SLACK_S; when all is healed, all know each other again and are idle; the peer that
lived through it all has not grown; nothing is left. On failure: the seed, the events, what every peer says of
itself, and where the logs are.

Time passes here on purpose (that is what chaos is made of), but no check depends on when a thing happens."""

import argparse
import heapq
import os
import pathlib
import random
import re
import select
import shutil
import signal
import statistics
import tempfile
import time

import harness
from harness import Lan, Peerd, children_of, run, start
from relay import PORT, Relay

N_NEAR, N_APPLICATIONS, HEALTHY_MIN = 5, 3, 2
DETECT_S = 2.5     # the default
SLACK_S = 2.5      # of a loaded host, on top of it
JOB_S = 120        # from start to end; alone none takes more than 4 s
SETTLE_S = 60      # until all know each other and are idle, once all is healed
GAP_S = 0.6        # between events, on average
DRAIN_MS, DRAINED_S = 4000, 10
# By what the peer that lives through it all may have grown: three descriptors per link to another peer.
RSS_KIB, DESCRIPTORS = 4096, 3 * (N_NEAR + N_APPLICATIONS)
MODULES = [f'examples/{name}.so' for name in ('uts', 'queens', 'pi', 'pricing')] + ['tests/cluster/work.so']
LONG = 'work.lingers'  # subtasks that last longer than it takes to detect a loss
T1 = ('nodes 4130071', 'leaves 3305118', 'depth 10')
T3 = ('nodes 4112897', 'leaves 3599034', 'depth 1572')


class Job:
    """A kind of job: its task, its words, and the lines of its answer."""

    def __init__(self, build, task, words, answer=None):
        self.task, self.words = task, words
        name = task.split('.')[0]
        self.module = next(build / module for module in MODULES if module.endswith(f'/{name}.so'))
        if not answer:
            serial = run(build / f'examples/{name}-seq', *words.split())
            answer = serial.stdout.splitlines()
        self.answer = list(answer)


def jobs_of(build):
    return [Job(build, 'uts.tree', '-t 1 -a 3 -d 10 -b 4 -r 19 -g 4 --chunk 512', T1),
            Job(build, 'uts.tree', '-t 0 -b 2000 -q 0.124875 -m 8 -r 42 -g 4 --chunk 512', T3),
            Job(build, 'queens.count', '--size 14'),
            Job(build, 'pi.estimate', '--samples 400000000 --seed 3'),
            Job(build, 'pricing.portfolio', '--desks 12 --instruments 300'),
            Job(build, LONG, '8 10000', ['lingered 8'])]


class Application:
    """Runs one job after the other, each in a process of its own under the same name."""

    def __init__(self, chaos, number):
        self.chaos, self.name, self.host = chaos, f'a{number}', chaos.lan.host()
        self.process = self.job = None
        self.n_done = 0

    def begin(self):
        self.job = self.chaos.rng.choice(self.chaos.jobs)
        self.began = time.monotonic()
        joins = ','.join(worker.address for worker in self.chaos.workers)
        self.process = start(self.chaos.build / 'tests/cluster/job', '--name', self.name, '--listen',
                             f'tcp://{self.host.address}:{PORT}', 1, joins, 0, self.job.module, self.job.task,
                             self.job.words, host=self.host, stdout=(self.chaos.logs / self.name).open('w'))
        self.chaos.say(f'{self.name} begins {self.job.task} {self.job.words}')

    def address(self):
        return f'tcp://{self.host.address}:{PORT}'

    def check(self):
        """True = it goes on; what is wrong is raised."""
        if self.process is None:
            return False
        if self.process.poll() is None:
            if time.monotonic() - self.began > JOB_S:
                raise Broken(f'{self.name}: {self.job.task} {self.job.words} is not done after {JOB_S} s')
            return True
        lines = (self.chaos.logs / self.name).read_text().splitlines()
        code, self.process = self.process.returncode, None
        if code != 0 or not set(self.job.answer) <= set(lines):
            raise Broken(f'{self.name}: {self.job.task} {self.job.words} ended {code}: ' + '\n'.join(lines[:30]))
        self.n_done += 1
        self.chaos.say(f'{self.name} is done: {time.monotonic() - self.began:.1f} s')
        return False


class Worker:
    """A peerd and its host, which outlives it."""

    def __init__(self, chaos, number, host, relay=None):
        self.chaos, self.name, self.host, self.relay = chaos, f'w{number}', host, relay
        self.peer, self.faults, self.n_starts = None, set(), 0
        self.address = f'tcp://{host.address}:{PORT}'

    def begin(self):
        others = [worker.address for worker in self.chaos.workers if worker is not self]
        joins = [word for address in self.chaos.rng.sample(others, 3) for word in ('--join', address)]
        self.address = f'tcp://{self.host.address}:{PORT}'
        self.peer = Peerd(self.chaos.build, self.chaos.logs, self.name, '--listen', self.address, *joins,
                          '--drain-ms', DRAIN_MS, '--log-level', self.chaos.log_level, host=self.host, modules=MODULES)
        self.n_starts += 1
        if not self.peer.address:
            raise Broken(f'{self.name} does not start: {self.peer.process.wait()}')

    def processes(self):
        return [self.peer.process.pid] + children_of(self.peer.process.pid)

    def look(self):
        return harness.look(self.chaos.build, self.address, self.host)


class Broken(Exception):
    pass


class Chaos:
    def __init__(self, build, logs, lan, rng, log_level):
        self.build, self.logs, self.lan, self.rng, self.log_level = build, logs, lan, rng, log_level
        self.began, self.events, self.undo, self.counts = time.monotonic(), [], [], {}
        self.jobs, self.samples, self.vanished_s = jobs_of(build), [], []
        self.relay = None
        self.workers = [Worker(self, number + 1, lan.host()) for number in range(N_NEAR)]
        self.applications = [Application(self, number + 1) for number in range(N_APPLICATIONS)]
        self.relay = Relay(lan, seed=rng.random())
        self.workers.append(Worker(self, N_NEAR + 1, self.relay.host, self.relay))
        self.spare_addresses = lan.addresses[len(lan.hosts):]

    # ---- telling ----

    def say(self, text):
        self.events.append(f'{time.monotonic() - self.began:8.3f}  {text}')

    def fault(self, kind, text):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.say(text)

    def later(self, after_s, action):
        heapq.heappush(self.undo, (time.monotonic() + after_s, len(self.events), action))
        return after_s

    # ---- faults: each returns without having done anything when it does not apply ----

    def victim(self, *but):
        """One without a fault, such that enough others have none either; the first is never killed."""
        healthy = [worker for worker in self.workers if not worker.faults]
        healthy = healthy if len(healthy) > HEALTHY_MIN else []
        return self.rng.choice([worker for worker in healthy if worker not in but] or [None])

    def kill(self):
        worker = self.victim(self.workers[0])
        if worker:
            worker.faults.add('down')
            worker.peer.kill()
            after_s = self.later(self.rng.choice([0, 0.3, 1, 4, 9]), lambda: self.restart(worker))
            self.fault('kill', f'{worker.name} killed for {after_s} s')

    def restart(self, worker):
        if not worker.relay and self.rng.random() < 0.3:
            was = worker.host.address
            worker.host.move(self.spare_addresses.pop(self.rng.randrange(len(self.spare_addresses))))
            self.spare_addresses.append(was)
        worker.begin()
        worker.faults.discard('down')
        self.fault('restart', f'{worker.name} restarted at {worker.address}')

    def freeze(self):
        worker = self.victim()
        if worker:
            whole = self.rng.random() < 0.5
            pids = worker.processes() if whole else [worker.peer.process.pid]
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            worker.faults.add('frozen')
            after_s = self.later(self.rng.choice([0.05, 0.3, 1, 2, 2.6, 4, 8]), lambda: self.thaw(worker, pids))
            self.fault('freeze', f'{worker.name} frozen for {after_s} s{", its executors too" if whole else ""}')

    def thaw(self, worker, pids):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        worker.faults.discard('frozen')
        self.say(f'{worker.name} goes on')

    def partition(self):
        worker = self.victim()
        if worker:
            ways = [self.stall] if worker.relay else [self.unplug, self.readdress]
            heal = self.rng.choice(ways)(worker)
            worker.faults.add('cut')
            after_s = self.later(self.rng.choice([0.2, 1, 2.4, 3, 6, 12]), lambda: self.heal(worker, heal))
            self.fault('partition', f'{worker.name} cut off for {after_s} s')

    def heal(self, worker, heal):
        heal()
        worker.faults.discard('cut')
        self.say(f'{worker.name} healed')

    @staticmethod
    def stall(worker):
        worker.relay.stall(True)
        return lambda: worker.relay.stall(False)

    @staticmethod
    def unplug(worker):
        worker.host.link(False)
        return lambda: worker.host.link(True)

    def readdress(self, worker):
        """For a while its host has another address than the one it listens at."""
        was = worker.host.address
        worker.host.move(self.rng.choice(self.spare_addresses))
        return lambda: worker.host.move(was)

    def drain(self):
        worker = self.victim(self.workers[0])
        if worker:
            worker.faults.add('down')
            self.fault('drain', f'{worker.name} told to leave')
            worker.peer.signal(signal.SIGTERM)
            until = time.monotonic() + DRAINED_S
            self.later(0.1, lambda: self.drained(worker, until))

    def drained(self, worker, until):
        code = worker.peer.process.poll()
        if code is None and time.monotonic() < until:
            self.later(0.1, lambda: self.drained(worker, until))
        elif code is None:
            raise Broken(f'{worker.name} was told to leave within {DRAIN_MS} ms and has not after {DRAINED_S} s')
        elif code != 0:
            raise Broken(f'{worker.name} was told to leave and ended {code}')
        else:
            self.say(f'{worker.name} has left')
            self.later(self.rng.choice([0, 0.5, 3]), lambda: self.restart(worker))

    def weather(self):
        """Of the far host: slow, lossy, narrow; or its connections are reset."""
        if self.rng.random() < 0.3:
            self.relay.cut()
            self.fault('reset', 'connections of the far host reset')
            return
        high_s = self.rng.choice([0, 0.005, 0.05, 0.3])
        self.relay.delay_s = (high_s / 4, high_s)
        self.relay.loss = self.rng.choice([0, 0, 0.01, 0.1, 0.3])
        self.relay.rate = self.rng.choice([0, 0, 20000, 500000])
        self.fault('weather', f'far host: delay up to {high_s} s, loss {self.relay.loss}, rate {self.relay.rate} B/s')

    def kill_application(self):
        """What it had going vanishes everywhere in time. No other event falls into that time."""
        at_work = [application for application in self.applications if application.process]
        application = max(at_work, key=lambda one: (one.job.task == LONG, self.rng.random()), default=None)
        origin = self.origin_of(application) if application else None
        if not origin or not self.left_of(origin) or application.process.poll() is not None:
            return
        application.process.kill()
        application.process.wait()
        application.process = None
        self.fault('kill application', f'{application.name} killed')
        killed = time.monotonic()
        while left := self.left_of(origin):
            if time.monotonic() > killed + DETECT_S + SLACK_S:
                raise Broken(f'{application.name} is dead for {DETECT_S + SLACK_S} s, and there is left: {left}')
        self.vanished_s.append(time.monotonic() - killed)
        self.say(f'nothing is left of {application.name} after {self.vanished_s[-1]:.1f} s')

    def origin_of(self, application):
        """Its id, as somebody knows it."""
        looks = [worker.look() for worker in self.workers if not worker.faults]
        ids = [peer['id'] for look in looks if look for peer in look['peers'] if peer['name'] == application.name]
        return ids[0] if ids else None

    def left_of(self, origin):
        left = []
        for worker in self.workers:
            look = worker.look() if worker.faults <= {'cut'} else None
            parts = {part: look[part] for part in ('runs', 'away')} if look else {}
            left += [(worker.name, part, one['age_ms']) for part, ones in parts.items() for one in ones
                     if one['job_origin'] == origin]
        return left

    # ---- the course of things ----

    def pass_time(self, until):
        """Undo what is due, and see after the applications."""
        while (now := time.monotonic()) < until:
            while self.undo and self.undo[0][0] <= now:
                heapq.heappop(self.undo)[2]()
            self.look_after(restart=True)
            select.select([], [], [], 0.05)

    def look_after(self, restart):
        going = False
        for application in self.applications:
            if application.check():
                going = True
            elif restart:
                application.begin()
        for worker in self.workers:
            if 'down' not in worker.faults and (code := worker.peer.process.poll()) is not None:
                raise Broken(f'{worker.name} ended of itself: {code}')
        if self.relay.failure:
            raise Broken(f'the relay: {self.relay.failure}')
        return going

    def begin(self):
        for worker in self.workers:
            worker.begin()
        for application in self.applications:
            application.begin()

    def rage(self, seconds):
        faults = [self.kill, self.freeze, self.partition, self.drain, self.weather, self.kill_application]
        weights = [4, 4, 4, 2, 3, 1]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.pass_time(min(until, time.monotonic() + self.rng.expovariate(1 / GAP_S)))
            self.rng.choices(faults, weights)[0]()
            self.sample()
        until += JOB_S
        while not self.vanished_s and time.monotonic() < until:
            self.kill_application()
            self.pass_time(time.monotonic() + GAP_S)

    def sample(self):
        """The first peer is never killed: what it holds is looked at all the time."""
        pid = self.workers[0].peer.process.pid
        rss_kib = int(re.search(r'VmRSS:\s+(\d+)', pathlib.Path(f'/proc/{pid}/status').read_text())[1])
        self.samples.append((rss_kib, len(os.listdir(f'/proc/{pid}/fd'))))

    def calm(self):
        """Heal everything, wait for the last jobs, then for quiet."""
        while self.undo:
            heapq.heappop(self.undo)[2]()
            select.select([], [], [], 0.01)
        self.relay.calm()
        self.say('all is healed')
        while self.look_after(restart=False):
            select.select([], [], [], 0.05)
        self.say('all jobs are done')

    def unsettled(self):
        """Why a peer is not idle, or does not know all others; nothing when all are well."""
        looks = {worker.address: worker.look() for worker in self.workers}
        why = []
        for worker, look in zip(self.workers, looks.values()):
            if not look:
                why.append(f'{worker.name} does not answer')
                continue
            known = {peer['address'] for peer in look['peers'] if not peer['unresponsive']}
            busy = harness.holds(look)
            why += [f'{worker.name} does not know {address}' for address in looks.keys() - known - {worker.address}]
            why += [f'{worker.name} is not idle: {busy}'] if busy else []
        return why

    def settle(self):
        until = time.monotonic() + SETTLE_S
        while why := self.unsettled():
            if time.monotonic() > until:
                raise Broken(f'{SETTLE_S} s after the last job: ' + '; '.join(why))
        self.say('all know each other and are idle')

    def leave(self):
        return {worker.name: worker.peer.end() for worker in self.workers}

    def end(self):
        for application in self.applications:
            if application.process:
                application.process.kill()
                application.process.wait()
        for worker in self.workers:
            if worker.peer:
                worker.peer.kill()
        self.relay.stop()

    def explain(self):
        """What every peer says of itself."""
        lines = []
        for one in self.workers + [one for one in self.applications if one.process]:
            done = run(self.build / 'tools/peer-top', '--once', '--json', '--only', '--join',
                       one.address if isinstance(one, Worker) else one.address(), host=one.host)
            lines.append(f'---- {one.name}: {getattr(one, "faults", "")} {done.stdout} {done.stderr}')
        return '\n'.join(lines)


def growth(samples):
    """From the median of the first third to that of the last."""
    third = max(1, len(samples) // 3)
    return [statistics.median(one[column] for one in samples[-third:]) -
            statistics.median(one[column] for one in samples[:third]) for column in (0, 1)]


def listeners(hosts):
    """Ports that somebody listens at."""
    lines = [line.split() for host in hosts
             for line in pathlib.Path(f'/proc/{host.holder.pid}/net/tcp').read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == '0A']


def shared():
    """Files that processes could leave behind."""
    places = [pathlib.Path('/dev/shm'), pathlib.Path('/dev/mqueue'), pathlib.Path(tempfile.gettempdir())]
    return {str(path) for place in places if place.is_dir() for path in place.glob('*peerexec*')}


def checks(chaos, options):
    why = None
    try:
        chaos.begin()
        chaos.rage(options.seconds)
        chaos.calm()
        chaos.settle()
    except (Broken, TimeoutError) as broken:
        why = f'{type(broken).__name__}: {broken}'
    faults = ', '.join(f'{n} x {kind}' for kind, n in sorted(chaos.counts.items()))
    n_done = sum(application.n_done for application in chaos.applications)
    if why:
        (chaos.logs / 'peers').write_text(chaos.explain())
        why += '\n' + '\n'.join(chaos.events)
    yield why is None, f'{n_done} jobs right under {faults}', why
    if why:
        return
    yield n_done >= options.seconds / 20, 'and enough of them to mean something', n_done
    yield len(chaos.vanished_s) > 0, f'{len(chaos.vanished_s)} applications were killed; nothing was left of them ' \
        f'after {max(chaos.vanished_s, default=0):.1f} s at most'
    rss_kib, descriptors = growth(chaos.samples)
    yield rss_kib <= RSS_KIB, f'w1 grew by {rss_kib:.0f} KiB', chaos.samples
    yield descriptors <= DESCRIPTORS, f'w1 has {descriptors:.0f} descriptors more', chaos.samples
    codes = chaos.leave()
    yield not any(codes.values()), 'all leave well', codes
    left = listeners(chaos.lan.hosts[:-1])
    yield not left, 'no port is left', left


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('build')
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--seed', type=int, default=int.from_bytes(os.urandom(4), 'big'))
    parser.add_argument('--log-level', default='info')
    options = parser.parse_args()
    harness.enter_own_network(f'--seed={options.seed}')
    print(f'# chaos.py {options.build} --seconds {options.seconds:g} --seed {options.seed}', flush=True)
    tap = harness.Tap()
    before = shared()
    logs = pathlib.Path(tempfile.mkdtemp(prefix='chaos-'))
    with Lan() as lan:
        chaos = Chaos(pathlib.Path(options.build).resolve(), logs, lan, random.Random(options.seed), options.log_level)
        try:
            tap.run(checks(chaos, options))
        finally:
            chaos.end()
    left = sorted(shared() - before)
    tap.check(not left, 'no file is left', left)
    code = tap.end()
    if code == 0:
        shutil.rmtree(logs)
    else:
        print(f'# logs: {logs}')
    return code


if __name__ == '__main__':
    raise SystemExit(main())
