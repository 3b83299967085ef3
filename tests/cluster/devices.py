"""Data-parallel tasks on the OpenCL devices of peers: results are those of C, whatever the devices do. PoCL makes
one of the processor; without any device what needs one is skipped.

    devices.py BUILD_DIRECTORY      writes TAP

Waits for events only: a peer says so, a process ends."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import harness
from harness import Peerd, Tap, children_of, wait_for

BUILD = pathlib.Path(sys.argv[1]).resolve()
TOOLS, MODULE = BUILD / 'tools', 'tests/cluster/kernels.so'
SMALL, LARGE = 100000, 400000  # indices: a device gets some of them all the same


class Host:
    """A directory with the programs of a host of its own: its px_device may be told more, its cache is its own, and
    so is its surroundings."""

    def __init__(self, scratch, name, device_arguments='', cache=None, libraries=(), **environment):
        self.directory = pathlib.Path(scratch) / name
        self.tools = self.directory / 'tools'
        self.tools.mkdir(parents=True)
        for program in ('peerd', 'peer-run', 'px_exec'):
            shutil.copy(TOOLS / program, self.tools / program)
        helper = self.tools / 'px_device'
        helper.write_text(f'#!/bin/sh\nexec {TOOLS / "px_device"} "$@" {device_arguments}\n')
        helper.chmod(0o755)
        for module in (MODULE,):
            (self.directory / module).parent.mkdir(parents=True)
            shutil.copy(BUILD / module, self.directory / module)
        self.environment = dict(harness.ENVIRONMENT, XDG_CACHE_HOME=str(cache or self.directory / 'cache'),
                                LD_LIBRARY_PATH=':'.join(map(str, [*libraries, BUILD / 'src'])), **environment)

    def peer(self, name, *arguments, **more):
        return Peerd(self.directory, self.directory, name, *arguments, modules=(MODULE,), env=self.environment, **more)

    def start(self, task, n, *arguments):
        return harness.start(self.tools / 'peer-run', '--slots', 1, *arguments, self.directory / MODULE,
                             f'all_{task}', n, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process, timeout_s=120):
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out, err


def right(found, n):
    code, out, err = found
    return code == 0 and out == f'0 of {n} wrong\n', f'{code}: {out} {err[-3000:]}'


def devices_of(peer):
    """What a peer says of its devices."""
    found = harness.look(BUILD, peer.address, None)
    return found['devices'] if found else []


def the_device(peer):
    """The first device, once it was found; None where there is none."""
    def answer():
        found = harness.look(BUILD, peer.address, None)
        return found if found and (found['devices'] or found['devices_why']) else None
    found = wait_for(answer)
    return found['devices'][0] if found['devices'] else None


def done_of(peer, task):
    return sum(found['chunks'] for device in devices_of(peer) for found in device['tasks']
               if found['task'] == f'kernels.{task}')


def until(condition, host, task, n, n_right, *arguments):
    """The job again and again, until the device had its part in it: who is idle does not wait for a kernel that is
    compiled for the first time. Its answer is right every time, or this is the last."""
    for _ in range(30):
        found = ended(host.start(task, n, *arguments))
        good, detail = right(found, n_right)
        if not good or condition(found):
            return good, detail, found
    return False, f'not in 30 jobs, the last: {found[2]}', found


# ---- who has a device ----------------------------------------------------------------------------------

def on_devices(host):
    with host.peer('w', '--devices', 'all') as peer:
        device = the_device(peer)
        yield device['state'] == 'off' and device['class'] in ('cpu', 'gpu', 'accelerator'), \
            'a device has no helper before its first chunk', device
        for task in ('mixed', 'sampled'):
            good, detail, _ = until(lambda _, task=task: done_of(peer, task), host, task, LARGE,
                                    200000 if task == 'sampled' else LARGE, '--join', peer.address)
            yield good, f'{task}: as in C, with a peer that has a device, which does some of it', detail
        shown = harness.run(TOOLS / 'peer-top', '--once', '--join', peer.address).stdout
        yield device['name'] in shown and re.search(r'kernels\.mixed +\d+ chunks, \S+ items/s', shown), \
            'peer-top shows the device and its rates', shown
        yield peer.end() == 0, 'the peer leaves'


def with_and_without(host):
    good, detail = right(ended(host.start('mixed', SMALL, '--devices', 'all')), SMALL)
    yield good, 'as in C, on a device of the peer that runs the job', detail
    with host.peer('w0', '--devices', 'none') as none:
        good, detail = right(ended(host.start('mixed', SMALL, '--join', none.address)), SMALL)
        yield good, 'as in C, with peers that have no device', detail
        yield not devices_of(none), 'who wants no device has none'
        with host.peer('w1', '--devices', 'all', '--join', none.address) as one:
            the_device(one)
            for _ in range(3):
                good, detail = right(ended(host.start('mixed', LARGE, '--join', none.address, '--devices', '0')), LARGE)
                yield good, 'as in C, with peers of which some have a device', detail


def six_at_once(scratch):
    host = Host(scratch, 'six')
    peers = []
    try:
        for i in range(6):
            join = ['--join', peers[0].address] if peers else []
            peers.append(host.peer(f'w{i}', '--devices', 'all', *join))
        jobs = [host.start('mixed', SMALL, '--join', peers[0].address) for _ in range(2)]
        for job in jobs:
            good, detail = right(ended(job), SMALL)
            yield good, 'as in C, with six peers that compile at once into a cold cache', detail
        states = [device['state'] for peer in peers for device in devices_of(peer)]
        yield all(state in ('off', 'ready', 'starting') for state in states), 'all six devices are well', states
    finally:
        for peer in peers:
            peer.kill()


# ---- what goes wrong ------------------------------------------------------------------------------------

def helper_of(peer):
    """Its process, while it computes; 0 = it does not."""
    return next((device['pid'] for device in devices_of(peer) if device['running'] and device['state'] == 'ready'), 0)


def killed_helpers(host):
    with host.peer('w', '--devices', 'all') as peer:
        the_device(peer)
        for _ in range(2):
            job = host.start('mixed', 4 * LARGE, '--join', peer.address)
            pid = wait_for(lambda: helper_of(peer) or (job.poll() is not None and -1))
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
            good, detail = right(ended(job), 4 * LARGE)
            yield good, 'as in C, with a device helper that is killed', detail
        yield pid < 0 or 'signal 9' in peer.log.read_text(), 'the log says of what it died', peer.log.read_text()


def gave_up(peer, task):
    """What does not compile is not tried twice, anything else three times."""
    most = 1 if task == 'broken' else 3
    return any(found['failures'] >= most for device in devices_of(peer) for found in device['tasks']
               if found['task'] == f'kernels.{task}')


def bad_kernels(host):
    for task, words in (('broken', ['undeclared', 'tests/cluster/broken.cl:', '[tests/cluster/broken.cl:10']),
                        ('outside', ['device helper died of']),
                        ('liar', ['otherwise than C'])):
        with host.peer('w', '--devices', 'all') as peer:
            name = the_device(peer)['name']
            words = words + [f'{task} on ']
            good, detail, found = until(lambda found, words=words, peer=peer: all(word in found[2] for word in words) or
                                        gave_up(peer, task), host, task, LARGE, LARGE, '--join', peer.address)
            yield good, f'{task}: as in C, until the device is not tried any more', detail
            # Who is idle does a chunk again that waits for a compiler: then only its peer is left to say why.
            shown = harness.run(TOOLS / 'peer-top', '--once', '--join', peer.address).stdout
            yield all(word in found[2] for word in words) or (task != 'liar' and words[0] in shown), \
                f'{task}: who started the job reads why, or peer-top says so', f'{found[2]}\n{shown}'
            device = devices_of(peer)[0]
            if task == 'liar':
                shown = harness.run(TOOLS / 'peer-top', '--once', '--join', peer.address).stdout
                yield device['state'] == 'quarantined' and 'computed what C does not' in device['reason'], \
                    'liar: the device is quarantined, and says why', device
                yield name in shown and 'quarantined for' in shown, 'liar: peer-top says so', shown
            good, detail = right(ended(host.start('mixed', SMALL, '--join', peer.address)), SMALL)
            yield good, f'{task}: what comes after it is right', detail


def endless_kernel(host):
    with host.peer('w', '--devices', 'all') as peer:
        the_device(peer)
        good, detail = right(ended(host.start('endless', LARGE, '--join', peer.address)), LARGE)
        yield good, 'endless: as in C', detail
        wait_for(lambda: 'a chunk took longer than' in peer.log.read_text())
        yield True, 'endless: the device is taken from a kernel that does not end'


def small_devices(scratch):
    small = Host(scratch, 'small', device_arguments='--memory 1000000')
    with small.peer('w', '--devices', 'all') as peer:
        the_device(peer)
        good, detail = right(ended(small.start('sampled', 1000000, '--join', peer.address)), 200000)
        yield good, 'as in C, with a device that is too small for what is shared', detail
        good, detail = right(ended(small.start('mixed', LARGE, '--join', peer.address)), LARGE)
        yield good, 'as in C, in chunks that fit a small device', detail


# ---- without --------------------------------------------------------------------------------------------

def no_opencl(scratch):
    loader = pathlib.Path(scratch) / 'loader'
    loader.mkdir()
    (loader / 'libOpenCL.so.1').write_text('none')
    for name, more, words in (('no-vendor', {'OCL_ICD_VENDORS': '/nonexistent'}, 'no OpenCL|built without OpenCL'),
                              ('no-loader', {'libraries': [loader]}, 'no OpenCL loader|built without OpenCL')):
        host = Host(scratch, name, **more)
        with host.peer('w', '--devices', 'all') as peer:
            yield the_device(peer) is None, f'{name}: there is no device'
            lines = [line for line in peer.log.read_text().splitlines() if 'no devices' in line]
            yield len(lines) == 1 and re.search(words, lines[0]), f'{name}: one line says why', peer.log.read_text()
            good, detail = right(ended(host.start('mixed', SMALL, '--join', peer.address)), SMALL)
            yield good, f'{name}: everything works in C', detail
        done = harness.run(host.tools / 'peerd', '--devices', '0', env=host.environment)
        yield done.returncode == 1 and "no device '0'" in done.stderr and re.search(words, done.stderr), \
            f'{name}: a device that is asked for is an error', done.stderr


def wrong_lists(host):
    done = harness.run(host.tools / 'peerd', '--devices', '0,nonesuch', env=host.environment)
    yield done.returncode == 1 and "no device 'nonesuch': this host has 0 (" in done.stderr, \
        'a device that there is not is an error that says which there are', done.stderr


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as scratch:
        # Kernels that were compiled stay in the build directory.
        host = Host(scratch, 'host', cache=BUILD / 'tests/cluster')
        with host.peer('w', '--devices', 'all') as peer:
            some = the_device(peer)
            why = '' if some else peer.log.read_text()
        tap.run(no_opencl(scratch))
        if some:
            tap.run(wrong_lists(host), on_devices(host), with_and_without(host), killed_helpers(host),
                    bad_kernels(host), endless_kernel(host), small_devices(scratch), six_at_once(scratch))
        else:
            tap.check(True, f'with devices # SKIP {" ".join(why.split())}')
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
