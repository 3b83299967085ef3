"""What the tests on real processes share: waiting for events, looking at processes, peers, TAP, and a LAN of
the test's own.

The LAN is a bridge in a network namespace that the test moves into, with a namespace per host behind it. Each
lives as long as a process in it, so nothing of it is ever seen outside, and nothing is left even of a test
that was killed."""

import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

TIMEOUT_S = 60
TICK_S = 1 / os.sysconf('SC_CLK_TCK')
MARK = 'PX_TEST_MARK'  # inherited by everything that a test starts
# Profiles of whoever runs the test are not the test's.
ENVIRONMENT = dict(os.environ, XDG_DATA_HOME='/nonexistent', **{MARK: str(os.getpid())})
ADDRESSES_MAX = 40  # of a LAN; a host has the one of its number, until it moves
INSIDE = 'PX_TEST_NETWORK'


def wait_for(condition, timeout_s=TIMEOUT_S):
    """A file, a process: things without a descriptor to wait on."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError('nothing happened')
        select.select([], [], [], 0.005)
    return value


# ---- TAP ------------------------------------------------------------------------------------------------

class Tap:
    """Checks are (good, what) or (good, what, detail); the detail is shown when it is not good."""

    def __init__(self):
        self.n = self.failed = 0
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out

    def check(self, good, what, detail=''):
        self.n += 1
        self.failed += not good
        print(f'{"" if good else "not "}ok {self.n} - {" ".join(what.split())}', flush=True)
        if not good:
            print(''.join(f'# {line}\n' for line in str(detail)[:20000].splitlines()), end='', flush=True)

    def run(self, *parts):
        for part in parts:
            try:
                for check in part:
                    self.check(*check)
            except (TimeoutError, subprocess.TimeoutExpired) as late:
                self.check(False, 'ends in time', late)

    def end(self):
        """The exit code. Nothing that was started may be left."""
        try:
            wait_for(lambda: not marked(), 10)
        except TimeoutError:
            pass
        self.check(not marked(), 'no process is left behind', '\n'.join(marked().values()))
        print(f'1..{self.n}')
        return 1 if self.failed else 0


def skip(why):
    print(f'1..0 # SKIP {why}')
    sys.exit(0)


# ---- processes ------------------------------------------------------------------------------------------

def marked():
    """Processes that this test started, however indirectly: pid and command."""
    found, mark = {}, f'{MARK}={os.getpid()}'.encode()
    for path in pathlib.Path('/proc').glob('[0-9]*/environ'):
        try:
            pid = int(path.parent.name)
            if pid != os.getpid() and mark in path.read_bytes().split(b'\0'):
                found[pid] = (path.parent / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
        except OSError:
            pass
    return found


def times_of(pid):
    """Processor time."""
    try:
        fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) * TICK_S


def children_of(pid):
    try:
        threads = list(pathlib.Path(f'/proc/{pid}/task').iterdir())
        return [int(child) for thread in threads for child in (thread / 'children').read_text().split()]
    except OSError:
        return []


def start(*command, host=None, **more):
    """A process with the mark, on a host of the LAN if one is given."""
    command = (host.enter if host else []) + list(map(str, command))
    return subprocess.Popen(command, **{'stdin': subprocess.DEVNULL, 'text': True, 'env': ENVIRONMENT, **more})


def run(*command, host=None, timeout_s=TIMEOUT_S, **more):
    command = (host.enter if host else []) + list(map(str, command))
    return subprocess.run(command, capture_output=True, timeout=timeout_s,
                          **{'stdin': subprocess.DEVNULL, 'text': True, 'env': ENVIRONMENT, **more})


class Peerd:
    """One peerd; its address is known when the constructor returns. What it says is kept in a file."""

    def __init__(self, build, directory, name, *arguments, host=None, slots=1, modules=('examples/uts.so',),
                 **more):
        self.name, self.host = name, host
        modules = [word for module in modules for word in ('--module', build / module)]
        self.ready, self.log = pathlib.Path(directory) / name, pathlib.Path(directory) / f'{name}.log'
        with self.log.open('a') as log:
            self.process = start(build / 'tools/peerd', '--name', name, '--slots', slots, '--ready-file',
                                 self.ready, *modules, *arguments, host=host, stderr=log, **more)
        wait_for(lambda: self.ready.exists() or self.process.poll() is not None)
        self.address = self.ready.read_text().strip() if self.ready.exists() else None

    def signal(self, number):
        self.process.send_signal(number)

    def used_s(self):
        """Processor time of the peer and its executors."""
        return sum(times_of(pid) for pid in [self.process.pid] + children_of(self.process.pid))

    def end(self):
        """Told to leave; its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=TIMEOUT_S)

    def kill(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()
        self.ready.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def top(build, address, *options, host=None):
    """What every peer in reach of this one says of itself; empty when nobody answers."""
    done = run(build / 'tools/peer-top', '--once', '--json', '--join', address, *options, host=host)
    return json.loads(done.stdout) if done.returncode == 0 else []


def look(build, address, host):
    """What this one says of itself, asked on its own host: however the network is. None = it does not answer."""
    answers = top(build, address, '--only', host=host)
    return answers[0] if answers else None


def holds(found):
    """What a peer that says this of itself has in hand; nothing when it is idle. It always has timers."""
    return {name: n for name, n in found['sizes'].items() if n and name not in ('timers', 'memory_bytes')}


# ---- a LAN of the test's own ----------------------------------------------------------------------------

def enter_own_network(*arguments):
    """Begin anew in a network namespace of our own, as root of it, with further arguments; skips the test where
    that is not allowed."""
    if INSIDE in os.environ:
        return
    missing = [tool for tool in ('unshare', 'nsenter', 'ip') if not shutil.which(tool)]
    if missing:
        skip(f'not installed: {", ".join(missing)} (util-linux, iproute2)')
    for flags in (['-n'], ['-U', '-r', '-n']):
        tried = subprocess.run(['unshare', *flags, 'ip', 'link', 'add', 'lan', 'type', 'bridge'],
                               capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            os.environ[INSIDE] = '1'
            os.execvp('unshare', ['unshare', *flags, sys.executable, *sys.argv, *arguments])
    skip(f'no network namespace with a bridge here: {" ".join(tried.stderr.split())}')


def ip(*words, host=None):
    done = run('ip', *' '.join(map(str, words)).split(), host=host)
    if done.returncode != 0:
        raise RuntimeError(f'ip {words}: {done.stderr}')


class Host:
    """A namespace with one interface on the LAN; a far one has none, see relay.py."""

    def __init__(self, lan, number, first_interface=False, far=False):
        self.number, self.address, self.port = number, lan.addresses[number], f'port{number}'
        self.holder = start('unshare', '-n', 'cat', stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        here = os.readlink('/proc/self/ns/net')
        wait_for(lambda: os.readlink(f'/proc/{self.holder.pid}/ns/net') != here)
        self.enter = ['nsenter', '-t', str(self.holder.pid), '-n']
        if first_interface:  # one on another network, that comes first
            ip('link add', f'other{number}', 'type veth peer name other netns', self.holder.pid)
            ip('link set', f'other{number}', 'up')
            ip(f'addr add 10.8.{number}.1/24 brd + dev other', host=self)
            ip('link set other up', host=self)
        ip('link set lo up', host=self)
        if far:
            ip(f'addr add {self.address}/24 dev lan')
            for address in lan.addresses:
                ip(f'addr add {address}/32 dev lo', host=self)
            return
        ip('link add', self.port, 'type veth peer name eth0 netns', self.holder.pid)
        ip('link set', self.port, 'master lan up')
        self.move(self.address)
        ip('link set eth0 up', host=self)

    def link(self, up):
        """Pull the cable, or plug it in."""
        ip('link set', self.port, 'up' if up else 'down')

    def move(self, address):
        """To another address."""
        ip('addr flush dev eth0', host=self)
        ip(f'addr add {address}/24 brd + dev eth0', host=self)
        self.address = address

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()


class Lan:
    def __init__(self):
        self.addresses = [f'10.9.0.{number}' for number in range(1, ADDRESSES_MAX + 1)]
        ip('link set lo up')
        ip('link add lan type bridge')
        ip('link set lan up')
        self.hosts = []

    def host(self, **more):
        self.hosts.append(Host(self, len(self.hosts), **more))
        return self.hosts[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.close()
        ip('link del lan')
