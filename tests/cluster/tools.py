"""The tools as people use them: peerd, peer-run, peer-top, quickstart; and every kind of wrong input with its
own message and exit code.

    tools.py BUILD_DIRECTORY      writes TAP

Waits for events only: files renamed, lines printed, processes ended."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

import harness
from harness import TIMEOUT_S, Peerd, Tap, marked, wait_for

BUILD = pathlib.Path(sys.argv[1]).resolve()
TOOLS, MODULE = BUILD / 'tools', BUILD / 'examples/uts.so'
COUNTS = 'nodes 4130071\nleaves 3305118\ndepth 10\n'


def run(tool, *arguments, **more):
    return harness.run(TOOLS / tool, *arguments, **more)


def start(tool, *arguments):
    return harness.start(TOOLS / tool, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def says(done, code, *words):
    output = done.stdout + done.stderr
    return done.returncode == code and all(word in output for word in words), f'{done.returncode}: {output[-300:]}'


def wrong_inputs(scratch):
    bad_config, bad_hosts = scratch / 'bad.cfg', scratch / 'bad.hosts'
    bad_hosts.write_text('# ours\n127.0.0.1:5555\nno port here\n')
    for text, words in (('slots = 2\nsluts = 3\n', (':2: sluts', 'no such key')),
                        ('slots = 2\n\nslots = 3\n', (':3: slots', 'given twice')),
                        ('slots = many\n', (':1: --slots', 'whole number')),
                        ('slots\n', (':1: slots', 'key = value'))):
        bad_config.write_text(text)
        done = run('peerd', '--config', bad_config)
        yield says(done, 2, str(bad_config), words[0].replace('--', ''), words[1]), f'peerd --config: {words[1]}'
    yield says(run('peerd', '--config', scratch / 'none'), 2, 'No such file'), 'peerd --config: no such file'
    yield says(run('peerd', '--hosts', bad_hosts), 2, 'bad.hosts:3:', 'want an address'), 'peerd --hosts: bad line'
    yield says(run('peerd', '--slots', '0'), 2, '--slots', '1 to 1024'), 'peerd --slots 0'
    yield says(run('peerd', '--nonsense'), 2, '--nonsense', 'no such option'), 'peerd: unknown option'
    yield says(run('peerd', '--slots'), 2, '--slots', 'a value must follow'), 'peerd: missing value'
    yield says(run('peerd', 'word'), 2, 'word', 'unexpected'), 'peerd: unexpected argument'
    yield says(run('peerd', '--log-level', 'loud'), 2, 'loud'), 'peerd: unknown log level'
    yield says(run('peerd', '--module', scratch / 'none.so'), 1, 'none.so'), 'peerd: no such module'
    yield says(run('peerd', '--module', '/bin/true'), 1, '/bin/true'), 'peerd: a module that is none'
    yield says(run('peerd', '--module', BUILD / 'tests/unit/modules/other_abi.so'), 1, 'other_abi.so'), \
        'peerd: a module of another ABI'
    yield says(run('peerd', '--listen', 'nowhere'), 1, 'nowhere'), 'peerd: bad address to listen at'
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        address = f'tcp://127.0.0.1:{taken.getsockname()[1]}'
        yield says(run('peerd', '--listen', address), 1, address, 'in use'), 'peerd: port in use'
    for done, code, words, what in (
            (run('peer-run'), 2, ('MODULE.so TASK',), 'no arguments'),
            (run('peer-run', scratch / 'none.so', 'tree'), 2, ('none.so',), 'no such module'),
            (run('peer-run', MODULE, 'nosuch'), 2, ('uts.nosuch', 'no such task'), 'no such task'),
            (run('peer-run', '--join', '127.0.0.1:1', MODULE, 'tree'), 5, ('no answer',),
             'an address that is no peer'),
            (run('peer-run', '--join', '127.0.0.1:1', '--local', '2', MODULE, 'tree'), 2, ('does not go with',),
             '--join with --local'),
            (run('peer-run', '--branch-number', 'uts.children', MODULE, 'tree'), 2, ('POINT=N',), 'branch number'),
            (run('peer-run', MODULE, 'tree', '-t 9'), 1, ('uts.tree',), 'a task that fails'),
            (run('peer-run', '--slots', '1', '--timeout', '0.2', MODULE, 'tree', '-g 100'), 4, ('deadline',),
             'timeout'),
            (run('peer-top', '--once'), 2, ('--join',), 'peer-top without address'),
            (run('peer-top', '--once', '--join', '127.0.0.1:1'), 1, ('127.0.0.1:1',), 'peer-top: nobody answers')):
        yield says(done, code, *words), f'{what}: {code}'


def names(scratch):
    with Peerd(BUILD, scratch, 'w1') as first:
        done = run('peerd', '--name', 'w1', '--join', first.address)
        yield says(done, 1, 'w1'), 'a second peer of the same name is refused'
        port = first.address.rsplit(':', 1)[1]
        yield (first.process.poll() is None, ''), 'the first one goes on'
        yield (first.end() == 0, ''), 'and leaves well when told'
        done = run('peerd', '--listen', f'tcp://127.0.0.1:{port}', '--join', f'127.0.0.1:{port}')
        yield says(done, 1, 'own'), 'joining oneself is told'


def open_address(scratch):
    with Peerd(BUILD, scratch, 'open', '--listen', 'tcp://0.0.0.0:*') as peer:
        yield (peer.end() == 0, ''), 'a peer on every interface'
        told = peer.log.read_text()
        once = told.count('whoever reaches') == 1 and told.count('warning') == 1
        yield (once and '--key FILE' in told, told), 'warns once'


def keys(scratch):
    key, other, public = scratch / 'key', scratch / 'other', scratch / 'public'
    for path in (key, other):
        done = run('peerd', '--new-key', path)
        yield (done.returncode == 0 and path.stat().st_mode & 0o777 == 0o600, done.stderr), 'a new key is private'
    kept = key.read_text()
    yield says(run('peerd', '--new-key', key), 1, str(key), 'is there already'), 'it is not overwritten'
    yield (key.read_text() == kept, ''), 'and stays as it was'
    yield says(run('peerd', '--new-key', '/nowhere/key'), 1, '/nowhere/key', 'cannot be made'), 'nor made nowhere'
    public.write_text(''.join(line for line in kept.splitlines(True) if 'secret-key' not in line))
    for path, words in ((scratch / 'none', ('none', 'No such file')), (MODULE, ('not a CURVE certificate',)),
                        (public, ('lacks the secret half', '--new-key')), (scratch, ('not a file',))):
        yield says(run('peerd', '--key', path), 1, *words), f'peerd --key: {words[-1]}'
        yield (run('peer-run', '--key', path, MODULE, 'tree').returncode == 2, ''), 'peer-run refuses it as well'
        done = run('peer-top', '--once', '--join', '127.0.0.1:1', '--key', path)
        yield says(done, 1 if words[-1] == 'No such file' else 2, words[0]), 'and peer-top'
    config = scratch / 'new-key.cfg'
    config.write_text(f'new-key = {scratch / "third"}\n')
    yield says(run('peerd', '--config', config), 2, 'no such key'), 'none is made by a configuration'
    key.chmod(0o644)
    with Peerd(BUILD, scratch, 'keyed', '--key', key, '--tcp-only') as first, \
            Peerd(BUILD, scratch, 'keyed2', '--key', key, '--tcp-only', '--join', first.address):
        yield ('others than its owner can read it' in first.log.read_text(), ''), 'a key that others can read is told'
        done = run('peer-run', '--key', key, '--join', first.address, MODULE, 'tree', '-g 2')
        yield (done.returncode == 0 and done.stdout == COUNTS, done.stderr), 'peers with a key: exact'
        done = run('peer-top', '--once', '--json', '--join', first.address, '--key', key)
        told = json.loads(done.stdout) if done.returncode == 0 else []
        yield (sorted(peer['name'] for peer in told) == ['keyed', 'keyed2'], done.stderr), 'peer-top has it, too'
        yield (sum(peer['stats']['subtasks_run'] for peer in told) > 0, str(told)), 'and they worked'
        done = run('peer-run', '--join', first.address, MODULE, 'tree')
        yield says(done, 5, 'no answer', 'needs --key'), 'who has none is told what to do'
        done = run('peer-run', '--key', other, '--join', first.address, MODULE, 'tree')
        yield says(done, 5, 'no answer', 'same key file', 'its log says'), 'who has another, too'
        yield says(run('peer-top', '--once', '--join', first.address), 1, 'no answer', 'needs --key'), 'and peer-top'
        wait_for(lambda: 'has another key, refused' in first.log.read_text())
        yield (True, ''), 'the log says who was refused'
        done = run(BUILD / 'examples/uts', '--px-key', key, '--px-local', 2, '-d', 5)
        yield (done.returncode == 0, done.stderr), 'a program that is its own cluster has a key'
        done = run('peer-run', '--key', key, '--local', 2, '--quiet', MODULE, 'tree')
        yield (done.returncode == 0 and done.stdout == COUNTS, done.stderr), 'and peer-run --local'
    with Peerd(BUILD, scratch, 'open-keyed', '--listen', 'tcp://0.0.0.0:*', '--key', other) as peer:
        peer.end()
        yield ('whoever reaches' not in peer.log.read_text(), ''), 'with a key an open address is no matter'


def results_of_peers(address):
    told = json.loads(run('peer-top', '--once', '--json', '--join', address).stdout)
    return sum(peer['stats']['results_received'] for peer in told)


def look_at_trace(trace, n_results):
    """Every attempt of every peer, each in a lane of its own while it lasts, arrows forward."""
    events = trace['traceEvents']
    names = {event['args']['name'] for event in events if event['name'] == 'process_name'}
    yield {'a', 'b'} < names and len(names) == 3, 'a process for each peer', names
    yield trace['otherData'] == {'left_out': 0, 'one_sided': 0}, 'both sides of each attempt', trace['otherData']
    slices = [event for event in events if event['ph'] == 'X']
    sent = [event for event in slices if event['cat'] == 'sent']
    answered = [event for event in sent if event['args']['end'] == 'ok']
    yield len(answered) == n_results, 'every result of every peer', f'{len(answered)} {n_results}'
    ran = [event for event in slices if event['cat'] == 'run']
    back = [event for event in sent if event['args']['end'] in ('returned', 'cannot')]
    yield len(ran) == 1 + len(sent) - len(back), 'the root, and a run for each', f'{len(ran)} {len(sent)} {len(back)}'
    ends = {}
    apart = True
    for event in sorted(slices, key=lambda event: event['ts']):
        lane = event['pid'], event['tid']
        apart = apart and ends.get(lane, 0) <= event['ts'] + 0.001
        ends[lane] = event['ts'] + event['dur']
    yield apart, 'no two in one lane at once', ''
    arrows = {}
    for event in events:
        if event['ph'] in 'sf':
            arrows.setdefault(event['id'], {})[event['ph']] = event['ts']
    yield all(arrow['s'] <= arrow['f'] for arrow in arrows.values()) and len(arrows) == len(ran) - 1, \
        'an arrow to each, forwards', arrows


def cluster(scratch):
    with Peerd(BUILD, scratch, 'a') as first, Peerd(BUILD, scratch, 'b', '--join', first.address):
        summary, trace = scratch / 'summary.json', scratch / 'trace.json'
        done = run('peer-run', '--join', first.address, '--json', summary, '--trace', trace, MODULE, 'tree', '-g 2')
        yield (done.returncode == 0 and done.stdout == COUNTS, done.stderr), 'peer-run --join: exact'
        told = json.loads(summary.read_text())
        yield (told['code'] == 'PX_OK' and told['stats']['subtasks_sent'] > 0, str(told)), 'its summary is JSON'
        n_results = told['stats']['results_received'] + results_of_peers(first.address)
        for good, what, detail in look_at_trace(json.loads(trace.read_text()), n_results):
            yield (good, str(detail)), f'its trace has {what}'
        done = run('peer-run', '--join', first.address, '--timeout', 1, '--slots', 1, '--trace', trace, MODULE, 'tree',
                   '-g 100')
        events = json.loads(trace.read_text())['traceEvents']
        stopped = [event for event in events if event['ph'] == 'X' and event['args']['end'] == 'cancelled']
        yield (done.returncode == 4 and any(event['cat'] == 'run' and event['args']['subtask'] == '0'
                                            for event in stopped), str(stopped)), 'a cancelled one shows its root'
        done = run('peer-run', '--join', first.address, MODULE, 'uts.tree', '-', stdin=None, input='-d 5')
        yield (done.returncode == 0 and done.stdout.startswith('nodes '), done.stderr), 'input from standard input'
        done = run('peer-top', '--once', '--json', '--join', first.address)
        yield (sorted(peer['name'] for peer in json.loads(done.stdout)) == ['a', 'b'], done.stdout), \
            'peer-top finds every peer in reach'
        done = run('peer-top', '--once', '--join', first.address)
        yield (all(f'\n{name} ' in done.stdout for name in 'ab'), done.stdout), 'and prints them as a table'
        told = json.loads(run('peer-top', '--once', '--json', '--join', first.address).stdout)
        silent = [peer['stats']['peers_unresponsive'] for peer in told]
        yield (silent == [0, 0], str(told)), 'peers that left are not counted as silent'


def interrupted():
    job = start('peer-run', '--local', 2, '--json', '-', MODULE, 'tree', '-g 200')
    wait_for(lambda: len(marked()) >= 4 or job.poll() is not None)  # peer-run, two peerd, an executor
    job.send_signal(signal.SIGINT)
    output, errors = job.communicate(timeout=TIMEOUT_S)
    yield (job.returncode == 130, errors), 'Ctrl-C cancels: 130'


def local_and_quickstart(scratch):
    done = run('peer-run', '--local', 2, '--quiet', MODULE, 'tree')
    yield (done.returncode == 0 and done.stdout == COUNTS and not done.stderr, done.stderr), 'peer-run --local'
    done = run('quickstart', MODULE, scratch)
    yield says(done, 0, 'frozen', 'killed', '4130071', 'exact'), 'quickstart: exact with a frozen and a killed peer'


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        for part in (wrong_inputs(scratch), names(scratch), open_address(scratch), keys(scratch), cluster(scratch),
                     interrupted(), local_and_quickstart(scratch)):
            tap.run((good, what, detail) for (good, detail), what in part)
        left = [name for name in os.listdir(scratch) if name.startswith(('peerexec-', 'quickstart-'))]
    tap.check(not left, 'no file is left behind', left)
    return tap.end()


sys.exit(main())
