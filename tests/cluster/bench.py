"""peer-bench: each command, small, gives every figure that it promises, with its range and what it is compared with;
wrong options are told; nothing is left behind.

    bench.py BUILD_DIRECTORY      writes TAP. How fast anything is, is nobody's concern here."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import harness
from harness import Peerd, Tap, marked, wait_for

BUILD = pathlib.Path(sys.argv[1]).resolve()
TOOL = BUILD / 'tools/peer-bench'

PERCENTILES = ('p50', 'p90', 'p99', 'max')
CALLS = [f'{way} {share}' for way in ('peerexec', 'libzmq') for share in PERCENTILES]
BOTH = ('peerexec', 'libzmq')
RATE = {'rate': {'libzmq, 64 under way': {1}, 'libzmq, one way': {1}, 'peerexec': {1, 2}},
        'rate-messages': {'peerexec': {1, 2}}}
PROGRAM = {'one peer': {1, 2}, 'peers of one slot': {2, 3}}
UTS = {**PROGRAM, 'a task per node': {1, 2}}
SPAWN = {'serial': {1}, 'a loop of px_spawn, px_sync': {1}, 'fib, px_spawn': {1, 2}, 'fib, a branch per call': {1, 2}}
FAULTS = {'none', 'slowed', 'frozen', 'killed'}
DEVICE = {'0 alone', '0 by its helper'}    # a host may have more

# command, arguments, table -> line -> where it has figures
COMMANDS = [
    ('call', '--sizes 1,64,100000 --calls 20', {
        'call': {line: {1, 64, 100000} for line in CALLS},
        'call-bandwidth': {line: {1, 64, 100000} for line in BOTH},
        'call-curve': {line: {1, 64, 100000} for line in CALLS},
        'call-curve-bandwidth': {line: {1, 64, 100000} for line in BOTH}}),
    ('call', '--sizes 64 --calls 20 --through-net --executors', {
        'call': {line: {64} for line in CALLS + [f'src/net {share}' for share in PERCENTILES]},
        'call-bandwidth': {line: {64} for line in (*BOTH, 'src/net')},
        'call-curve': {line: {64} for line in CALLS},
        'call-curve-bandwidth': {line: {64} for line in BOTH}}),
    ('call', '--sizes 64 --calls 20 --curve', {
        'call-curve': {line: {64} for line in CALLS},
        'call-curve-bandwidth': {line: {64} for line in BOTH}}),
    ('rate', '--calls 200 --workers 1,2', RATE),
    ('rate', '--calls 200 --workers 1,2 --curve', RATE),
    ('spawn', '--fib 12 --slots 2', {
        'spawn': SPAWN, 'spawn-cpu': SPAWN,
        'spawn-growth': {line: {10, 1000, 100000}
                         for line in ('subtasks in one branch', 'branches open, one subtask each')}}),
    ('uts', '--slots 2 --local 2 --tree T1', {
        'uts': {'serial': {1}, **UTS}, 'uts-speedup': UTS}),
    ('uts', '--slots 2 --local 2 -t 1 -a 3 -d 5 -b 4 -r 19', {
        'uts': {'serial': {1}, **UTS}, 'uts-speedup': UTS}),
    ('uts', '--slots 2 --local 2 -- -t 1 -a 3 -d 5 -b 4 -r 19', {
        'uts': {'serial': {1}, **UTS}, 'uts-speedup': UTS}),
    ('queens', '--slots 2 --local 2 -- --size 8', {
        'queens': {'serial': {1}, **PROGRAM}, 'queens-speedup': PROGRAM}),
    ('mandelbrot', '--slots 2 --local 2 -- --width 60 --height 40', {
        'mandelbrot': {'serial': {1}, **PROGRAM}, 'mandelbrot-speedup': PROGRAM}),
    ('stencil', '--slots 2 --local 2 --size 101 --parts 7', {
        'stencil': {'serial': {1}, **PROGRAM}, 'stencil-speedup': PROGRAM}),
    ('sort', '--slots 2 --local 2 --size 20000 --parts 5', {
        'sort': {'serial': {1}, **PROGRAM}, 'sort-speedup': PROGRAM}),
    ('shared', '--local 2 --size 1 --tasks 8 --task-ms 5', {
        table: {line: {1, 2} for line in ('in each input', 'shared')}
        for table in ('shared', 'shared-bytes')}),
    ('tail', '--tasks 12 --task-ms 20', {
        'tail': {line: FAULTS for line in ('at best', 'speculation', 'no speculation')},
        'tail-extra': {line: FAULTS for line in ('speculation', 'no speculation')}}),
    ('startup', '--local 2', {
        'startup': {'one process': {'main begins', 'peer has joined', 'first remote result'},
                    'from opening its peer': {'first remote result'}},
        'startup-together': {'peerd': {2}}}),
    ('memory', '--local 2 --seconds 1', {
        'memory': {'peerexec': {'idle peer', 'known peer', 'waiting task', 'waiting subtask', 'subtask away',
                                'branch of 10 million'}},
        'memory-idle': {'peerexec': {'idle peer'}}}),
    ('devices', '--size 64', {
        'devices-launch': {line: {'one item'} for line in DEVICE},
        'devices-copy': {line: {'to it', 'from it'} for line in DEVICE},
        'devices-rate': {line: {'compute-bound', 'memory-bound'} for line in DEVICE}}),
    ('ranges', '--size 64 --stepped 8', {
        'ranges': {line: {'compute-bound', 'memory-bound'}
                   for line in ('plain OpenCL', 'all C', 'all OpenCL', 'as the peer chooses')},
        'ranges-split': {line: {'compute-bound'} for line in ('one device', 'one device, held', 'the ideal split',
                                                              'both, the second held')}}),
    ('ranges', '--what memory --size 64', {
        'ranges': {line: {'memory-bound'}
                   for line in ('plain OpenCL', 'all C', 'all OpenCL', 'as the peer chooses')}}),
]
REPEATS = {'tail': 1, 'memory': 1, 'ranges': 1}     # those that take seconds
ONLY_ONCE = {('tail', 'at best')}          # computed
ANY_SIGN = {'memory', 'tail-extra'}        # differences; work that there need not be
COMPARED_WITH = {'call': 'libzmq', 'call-bandwidth': 'libzmq', 'call-curve': 'libzmq',
                'call-curve-bandwidth': 'libzmq', 'rate': 'libzmq', 'spawn': 'serial',
                'spawn-cpu': 'serial', 'uts': 'serial', 'queens': 'serial', 'mandelbrot': 'serial',
                'stencil': 'serial', 'sort': 'serial', 'tail': 'at best',
                'shared': 'in each input', 'shared-bytes': 'in each input',
                'ranges': 'plain OpenCL',
                'devices-launch': '0 alone', 'devices-copy': '0 alone', 'devices-rate': '0 alone'}

# arguments, exit code, words of stderr
REFUSALS = [
    ('', 2, 'no command'),
    ('fly', 2, 'fly: a command must come first'),
    ('call --sizes 64,none', 2, '"none" is not a size'),
    ('call --sizes 0', 2, 'a size from 1 to'),
    ('call --sizes 1.5', 2, 'a size from 1 to'),
    ('call --repeats 0', 2, 'whole number from 1 to'),
    ('call --speed', 2, 'no such option'),
    ('call more', 2, 'unexpected argument'),
    ('call --local 1 --join tcp://127.0.0.1:9', 2, 'does not go with --join'),
    ('call --key /nowhere/key', 2, 'it goes with --join only'),
    ('call --curve --join tcp://127.0.0.1:9', 2, 'wants --key'),
    ('call --key /nowhere/key --join tcp://127.0.0.1:9', 1, '/nowhere/key: cannot be read'),
    ('rate --workers 0', 2, 'a number of peers from 1 to 64'),
    ('rate --workers 2 --join tcp://127.0.0.1:9', 2, 'does not go with --join'),
    ('spawn --fib 1', 2, 'from 2 to 45'),
    ('spawn --local 2', 2, 'needs no other peers'),
    ('uts --tree T9', 2, 'no such tree'),
    ('uts -- -t 9', 2, 'must be between'),
    ('queens -- --colour', 2, 'unknown option'),
    ('stencil --size 5 --parts 6', 2, 'not so many points'),
    ('sort --size 100000000 --parts 2', 2, 'more are needed'),
    ('shared --size 61', 2, 'whole number from 1 to 60'),
    ('tail --faults tired', 2, '"tired" is not one of none, slowed, frozen, killed'),
    ('tail --join tcp://127.0.0.1:9', 2, 'needs peers of its own'),
    ('startup --once', 2, 'it goes with --join only'),
    ('devices 3', 2, 'unexpected argument'),
    ('ranges --what speed', 2, '"speed" is not one of compute, memory, split'),
    ('ranges --devices 0,1', 2, 'it wants one, by its number'),
    ('ranges --devices 99 --what compute', 1, "no device '99'"),
    ('devices --once', 2, 'a device and two numbers of items'),
    ('call --join tcp://127.0.0.1:9', 5, '127.0.0.1:9'),
    ('spawn --fib 5 --repeats 1 --json /nowhere/file', 1, '/nowhere/file: No such file'),
]


def bench(*arguments, **more):
    return harness.run(TOOL, *arguments, **more)


def in_order(figure):
    values = figure['values']
    return (min(values) == figure['minimum'] and max(values) == figure['maximum'] and
            figure['minimum'] <= figure['median'] <= figure['maximum'])


def look_at_table(command, table, expected, repeats):
    name = table['table']
    if command == 'devices':
        table['figures'] = [figure for figure in table['figures'] if figure['line'] in DEVICE]
    for figure in table['figures']:
        line = figure['line']
        if len(figure['values']) != (1 if (name, line) in ONLY_ONCE else repeats) or not in_order(figure):
            yield f'{name}: {figure}'
        if name not in ANY_SIGN and figure['minimum'] <= 0:
            yield f'{name}: not above 0: {figure}'
        alone = COMPARED_WITH.get(name)
        if alone and not line.startswith(alone) and figure.get('compared', {}).get('ratio', 0) <= 0:
            yield f'{name}: not compared: {figure}'
        if (name, line) == ('rate', 'peerexec') and figure['compared_too']['with'] != 'libzmq, one way':
            yield f'{name}: not compared with both: {figure}'
    found = {}
    for figure in table['figures']:
        found.setdefault(figure['line'], set()).add(figure['x'])
    if found != expected:
        yield f'{command} {name}: {found}, not {expected}'


def look_at_report(command, report, tables, repeats):
    machine = report['machine']
    for key in ('host', 'processor', 'kernel', 'version', 'commit', 'compiler', 'build'):
        if not machine.get(key):
            yield f'no {key} in {machine}'
    if machine['processors'] < 1 or machine['memory_mib'] < 1:
        yield f'{machine}'
    if (report['command'], report['repeats']) != (command, repeats):
        yield f'{report["command"]} {report["repeats"]}'
    if [table['table'] for table in report['tables']] != list(tables):
        yield f'{[table["table"] for table in report["tables"]]}, not {list(tables)}'
        return
    for table in report['tables']:
        yield from look_at_table(command, table, tables[table['table']], repeats)


def commands():
    for command, arguments, tables in COMMANDS:
        before, _, words = arguments.partition(' -- ')
        words = ['--', *words.split()] if words else []
        repeats = REPEATS.get(command, 2)
        done = bench(command, '--repeats', repeats, '--json', '-', *before.split(), *words)
        faults = []
        if command == 'devices' and 'nothing to measure' in done.stderr:
            yield True, f'{command} {arguments} # SKIP {done.stderr.strip()}', ''
            continue
        if done.returncode == 0:
            faults = list(look_at_report(command, json.loads(done.stdout), tables, repeats))
        right = done.returncode == 0 and not faults and not done.stderr
        yield right, f'{command} {arguments}', f'{done.returncode}\n{done.stderr}\n' + '\n'.join(faults)


def refusals():
    for arguments, code, words in REFUSALS:
        done = bench(*arguments.split())
        yield done.returncode == code and words in done.stderr, f'refused: {arguments} ({words})', done


def joined(scratch):
    modules = [pathlib.Path(line) for line in bench('--modules').stdout.splitlines()]
    named = len(modules) == 4 and all(module.exists() for module in modules)
    yield named, 'the modules of a cluster are named', modules
    with Peerd(BUILD, scratch, 'a', '--in-process', modules=modules) as first, \
            Peerd(BUILD, scratch, 'b', '--join', first.address, modules=modules):
        for words in (['call', '--sizes', 64, '--calls', 20], ['rate', '--calls', 100], ['startup'],
                      ['uts', '--', '-d', 6]):
            done = bench(words[0], '--join', first.address, '--repeats', 1, '--json', '-', *words[1:])
            right = done.returncode == 0 and json.loads(done.stdout)['joined']
            yield right, f'{words[0]} on a cluster that was there', done
    key = scratch / 'key'
    harness.run(BUILD / 'tools/peerd', '--new-key', key)
    with Peerd(BUILD, scratch, 'd', '--in-process', '--key', key, '--tcp-only', modules=modules) as first:
        for words, table in ((['call', '--sizes', 64, '--calls', 20], 'call-curve'),
                             (['rate', '--calls', 100], 'rate')):
            done = bench(words[0], '--join', first.address, '--key', key, '--repeats', 1, '--json', '-', *words[1:])
            right = done.returncode == 0 and json.loads(done.stdout)['tables'][0]['table'] == table
            yield right, f'{words[0]} on a cluster with a key', done
        done = bench('call', '--join', first.address, '--repeats', 1, '--sizes', 64)
        yield done.returncode == 5 and 'needs --key' in done.stderr, 'without it nobody answers', done
    with Peerd(BUILD, scratch, 'c') as other:
        done = bench('call', '--join', other.address, '--repeats', 1, '--sizes', 64)  # 300 s are its time-out
        said = all(word in done.stderr for word in ('module bench', 'c at ' + other.address, 'none', '--modules'))
        yield done.returncode == 1 and said, 'a cluster without the module is told so', done
        with Peerd(BUILD, scratch, 'e', '--in-process', '--join', other.address, modules=modules):
            done = bench('call', '--join', other.address, '--repeats', 1, '--sizes', 64, '--calls', 20)
            said = all(word in done.stderr for word in ('c at ' + other.address, '1 of the cluster'))
            yield done.returncode == 0 and said, 'so is one where a peer lacks it', done


def told_to_stop():
    """Ctrl-C: what it has started ends with it."""
    for command in (['tail', '--tasks', 4000], ['call', '--repeats', 101]):
        run = harness.start(TOOL, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: len(marked()) >= 3 or run.poll() is not None)  # itself and two others
            run.send_signal(signal.SIGINT)
            run.wait(timeout=harness.TIMEOUT_S)
        finally:
            run.kill()
        yield run.wait() == -signal.SIGINT, f'{command[0]} ends when it is told to', run.returncode


def on_a_terminal():
    ours, its = os.openpty()
    done = harness.start(TOOL, 'spawn', '--fib', 10, '--repeats', 2, stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    said = b''
    try:
        while more := os.read(ours, 4096):
            said += more
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    yield done.wait() == 0 and b'fib, px_spawn: 2 of 2' in said, 'progress is told on a terminal', said


def text_and_plots(scratch):
    done = bench('spawn', '--fib', 10, '--repeats', 1, '--json', scratch / 'file')
    right = done.returncode == 0 and 'fib, px_spawn' in done.stdout and 'commit' in done.stdout
    yield right and json.loads((scratch / 'file').read_text())['tables'], 'tables as text, and a file beside', done
    if shutil.which('gnuplot'):
        done = bench('spawn', '--fib', 10, '--repeats', 1, '--plot', scratch / 'plots')
        drawn = sorted(path.name for path in (scratch / 'plots').glob('*.svg') if '<svg' in path.read_text())
        yield drawn == ['spawn-cpu.svg', 'spawn-growth.svg', 'spawn.svg'], 'a plot for each table', (done, drawn)
        done = bench('startup', '--repeats', 1, '--local', 2, '--plot', scratch / 'plots')
        words = (scratch / 'plots/startup.svg').read_text() if done.returncode == 0 else ''
        yield 'first remote result' in words, 'words on an axis', done
    (scratch / 'bin').mkdir()
    (scratch / 'bin/sh').symlink_to(shutil.which('sh'))
    done = bench('spawn', '--fib', 10, '--repeats', 1, '--plot', scratch,
                 env=dict(harness.ENVIRONMENT, PATH=str(scratch / 'bin')))
    yield done.returncode == 1 and 'gnuplot-nox' in done.stderr, 'without gnuplot a plot says what to install', done
    helps = [bench(command, '--help').stdout for command in sorted({command for command, _, _ in COMMANDS})]
    yield all('Figures' in text and '--repeats' in text for text in helps), 'help says what each figure means', helps


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        os.environ['TMPDIR'] = harness.ENVIRONMENT['TMPDIR'] = directory
        tap.run(commands(), refusals(), joined(scratch), told_to_stop(), on_a_terminal(), text_and_plots(scratch))
        left = [name for name in os.listdir(scratch) if name.startswith('peerexec-')]
    tap.check(not left, 'no file is left behind', left)
    return tap.end()


sys.exit(main())
