"""Structure of the project, as rules that a machine can hold:
layers include downwards only, the core does no I/O, the library shows exactly what PX_API marks and
keeps no mutable globals, and every public function says who may call it and since when.

    structure.py SOURCE_ROOT BUILD_ROOT [--sanitized]      writes TAP

With --sanitized the checks of object files are left out: sanitizers add symbols and globals."""

import pathlib
import re
import subprocess
import sys

LAYERS = ['base', 'core', 'wire', 'net', 'module', 'store', 'device', 'exec', 'agent', 'api']
LIBRARY = LAYERS
MAY_INCLUDE = {layer: set(LAYERS[:rank + 1]) for rank, layer in enumerate(LAYERS)}
MAY_INCLUDE['sim'] = {'base', 'core', 'sim'}
MAY_INCLUDE['tune'] = {'base', 'tune'}

# All that the core may have: computing, and memory.
CORE_BASE_HEADERS = {'assert', 'prng', 'heap', 'map', 'list'}
CORE_SYSTEM_HEADERS = {'assert.h', 'inttypes.h', 'limits.h', 'stdalign.h', 'stdarg.h', 'stdbool.h',
                       'stddef.h', 'stdint.h', 'stdio.h', 'stdlib.h', 'string.h'}
CORE_SYMBOLS = {'malloc', 'calloc', 'realloc', 'free', 'abort', 'qsort', 'bsearch',
                'memcpy', 'memmove', 'memset', 'memcmp', 'memchr', 'strlen', 'strnlen', 'strcmp',
                'strncmp', 'snprintf', 'vsnprintf', '__assert_fail', '__stack_chk_fail',
                '_GLOBAL_OFFSET_TABLE_',
                '__divti3', '__udivti3'}  # the compiler's own division of 128 bits
FORTIFIED = re.compile(r'^__(\w+)_chk$')

# What a library must not do to its host: print, exit, read or change its environment and signals.
# Only px_main (), which is a program's main, and the program that hosts an executor do some of it.
HOST_SYMBOLS = {'printf', 'vprintf', 'puts', 'putchar', 'perror', 'exit', '_exit', 'quick_exit', 'getenv',
                'secure_getenv', 'setenv', 'putenv', 'unsetenv', 'signal', 'sigaction', 'sleep',
                'usleep', 'nanosleep', 'system', 'popen', 'fork', 'chdir', 'setlocale', 'atexit',
                'srand', 'rand', 'random', 'gethostbyname', 'strtok', 'strerror_l'}
HOST_ALLOWED = {
    # (layer, object): symbols
    ('api', 'main.c.o'): {'sigaction', 'signal', 'exit', '_exit', 'printf', 'puts', 'fork'},
}

# Thread-local words of the library, each with its reason in the file that has it.
THREAD_LOCALS_ALLOWED = {'exec'}

TAGS = ['Units', 'Ownership', 'Errors', 'Threads', 'Since']
HEADER_LINES_MAX = 300
LINE_COLUMNS_MAX = 120  # the formatter keeps code to 100; tables with comments may be wider


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sources(root, *suffixes):
    return sorted(path for path in root.rglob('*') if path.suffix in suffixes)


def read(path):
    return path.read_text(encoding='utf-8')


def includes(path):
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[1], match[2]


class Project:
    def __init__(self, source, build):
        self.source = source
        self.build = build
        self.headers = sorted((source / 'include' / 'peerexec').glob('*.h'))
        self.api = self.declared()

    def declared(self):
        """name -> (file, text before it since the last declaration)"""
        found = {}
        for path in self.headers:
            text, end = read(path), 0
            for match in re.finditer(r'^PX_API\s[^;(]*?\b(px_\w+)\s*\(', text, re.M):
                found[match[1]] = (path.name, text[end:match.start()])
                end = match.end()
        return found

    def layer_files(self, layer):
        return sources(self.source / 'src' / layer, '.c', '.h')

    def archive(self, layer):
        path = self.build / 'src' / layer / ('libpx%s.a' % layer)
        return path if path.exists() else None

    def shared(self):
        return self.build / 'src' / 'libpeerexec.so'

    def where(self, path, number=None):
        name = str(path.relative_to(self.source))
        return name if number is None else '%s:%d' % (name, number)


def layers_include_downwards(project):
    for layer, allowed in MAY_INCLUDE.items():
        for path in project.layer_files(layer):
            for number, kind, name in includes(path):
                if kind == '<':
                    continue
                if '/' not in name:
                    if not name.endswith('.pb-c.h'):
                        yield '%s includes "%s" without its layer' % (project.where(path, number), name)
                elif name.split('/')[0] not in allowed:
                    yield '%s: %s may not include "%s"' % (project.where(path, number), layer, name)


def rivals_know_nothing_of_the_core(project):
    for path in sources(project.source / 'src' / 'sim' / 'rivals', '.c', '.h'):
        for number, kind, name in includes(path):
            if kind == '"' and not name.startswith(('base/', 'sim/rivals/')):
                yield '%s includes "%s"' % (project.where(path, number), name)


def core_includes_only_what_computes(project):
    for path in project.layer_files('core'):
        for number, kind, name in includes(path):
            if kind == '<':
                if name not in CORE_SYSTEM_HEADERS and not name.startswith('peerexec/'):
                    yield '%s includes <%s>' % (project.where(path, number), name)
            elif name.startswith('base/') and name[5:-2] not in CORE_BASE_HEADERS:
                yield '%s includes "%s"' % (project.where(path, number), name)


def public_headers_include_only_each_other(project):
    for path in project.headers:
        for number, kind, name in includes(path):
            if not name.startswith('peerexec/') and name not in {'stddef.h', 'stdint.h'}:
                yield '%s includes %s' % (project.where(path, number), name)


def examples_use_the_public_interface_only(project):
    internal = set(MAY_INCLUDE)
    for path in sources(project.source / 'examples', '.c', '.h', '.cpp'):
        for number, kind, name in includes(path):
            if kind == '"' and name.split('/')[0] in internal and '/' in name:
                yield '%s includes "%s"' % (project.where(path, number), name)


def symbols(archive, *options):
    """(object, name, type) of each symbol of an archive"""
    for line in run('nm', '-A', *options, str(archive)).splitlines():
        match = re.match(r'.*?:([^:]+):\s*[0-9a-f]*\s+(\w)\s+(\S+)$', line)
        if match:
            yield match[1].split('/')[-1], match[3], match[2]  # thin archives name paths


def plain(name):
    """The function behind a fortified or versioned name."""
    name = name.split('@')[0]
    match = FORTIFIED.match(name)
    return match[1] if match else name


def core_needs_only_memory_and_computing(project):
    core, base = project.archive('core'), project.archive('base')
    if not core:
        return
    defined = {name for _, name, _ in symbols(core, '--defined-only')}
    pure = {name + '.c.o' for name in CORE_BASE_HEADERS | {'error'}}
    defined |= {name for member, name, _ in symbols(base, '--defined-only') if member in pure}
    for member, name, _ in symbols(core, '--undefined-only'):
        if name not in defined and plain(name) not in CORE_SYMBOLS and name not in CORE_SYMBOLS:
            yield 'core/%s needs %s' % (member[:-2], name)


def library_leaves_its_host_alone(project):
    for layer in LIBRARY:
        archive = project.archive(layer)
        if not archive:
            continue
        for member, name, _ in symbols(archive, '--undefined-only'):
            if plain(name) in HOST_SYMBOLS and \
                    plain(name) not in HOST_ALLOWED.get((layer, member), set()):
                yield '%s/%s calls %s' % (layer, member[:-2], plain(name))


def library_has_no_mutable_globals(project):
    for layer in LIBRARY:
        archive = project.archive(layer)
        if not archive:
            continue
        member = ''
        for line in run('objdump', '-t', str(archive)).splitlines():
            match = re.match(r'(\S+\.o):\s+file format', line)
            if match:
                member = match[1].split('/')[-1]
            match = re.match(r'[0-9a-f]+ .{6}[O ] (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$', line)
            if not match:
                continue
            section, name = match[1], match[2]
            if section == name:
                continue
            if section.startswith(('.tbss', '.tdata')):
                if layer not in THREAD_LOCALS_ALLOWED:
                    yield '%s/%s: %s is thread-local' % (layer, member[:-2], name)
            elif section.startswith(('.data', '.bss', '*COM*')) and \
                    not section.startswith('.data.rel.ro'):
                yield '%s/%s: %s can be written' % (layer, member[:-2], name)


def library_shows_what_px_api_marks(project):
    shown = set()
    for line in run('nm', '-D', '--defined-only', str(project.shared())).splitlines():
        shown.add(line.split()[-1].split('@')[0])
    for name in sorted(shown - set(project.api)):
        yield '%s is exported, but no public header marks it PX_API' % name
    for name in sorted(set(project.api) - shown):
        yield '%s is declared in %s, but not exported' % (name, project.api[name][0])


def internal_functions_have_the_prefix(project):
    for layer in LIBRARY:
        archive = project.archive(layer)
        if not archive:
            continue
        for member, name, kind in symbols(archive, '--defined-only', '--extern-only'):
            if not name.startswith(('px_', 'pxi_')) and 'pb-c' not in member:
                yield '%s/%s defines %s' % (layer, member[:-2], name)


def public_functions_say_who_may_call_them(project):
    for name, (file, before) in project.api.items():
        comments = re.findall(r'/\*\*(.*?)\*/', before, re.S)
        if not comments:
            yield '%s: %s has no comment of its own' % (file, name)
            continue
        tags = re.findall(r'^\s*\*\s+(%s):' % '|'.join(TAGS), comments[-1], re.M)
        if 'Threads' not in tags or 'Since' not in tags:
            yield '%s: the comment of %s lacks Threads: or Since:' % (file, name)
        if [tag for tag in TAGS if tag in tags] != tags:
            yield '%s: the tags of %s are not in the order %s' % (file, name, ', '.join(TAGS))


def public_headers_are_short(project):
    for path in project.headers:
        n_lines = len(read(path).splitlines())
        if n_lines > HEADER_LINES_MAX:
            yield '%s has %d lines' % (project.where(path), n_lines)


def ours(project):
    for folder in ['include', 'src', 'tools', 'examples', 'bench', 'tests']:
        yield from sources(project.source / folder, '.c', '.h', '.cpp', '.proto', '.py', '.sh')


def lines_fit_and_nothing_is_left_to_do(project):
    for path in ours(project):
        for number, line in enumerate(read(path).splitlines(), 1):
            if len(line) > LINE_COLUMNS_MAX:
                yield '%s has %d columns' % (project.where(path, number), len(line))
            if re.search(r'\b(TODO|FIXME|X{3}|HACK)\b', line) and path.name != 'structure.py':
                yield '%s: %s' % (project.where(path, number), line.strip())


def files_open_with_what_they_decide(project):
    for layer in MAY_INCLUDE:
        for path in project.layer_files(layer):
            if not read(path).startswith('/*'):
                yield '%s has no head comment' % project.where(path)


# A jump of the wall clock changes nothing that runs: it is read once, when a peer starts, for its incarnation.
WALL_CLOCK = re.compile(r'\b(CLOCK_REALTIME|pxi_clock_unix_ns|gettimeofday|timespec_get|localtime|gmtime)\b'
                        r'|\btime \((NULL|0|&)')
WALL_CLOCK_ALLOWED = {'src/base/clock.c', 'src/base/clock.h', 'src/agent/open.c'}


def the_wall_clock_decides_nothing(project):
    for layer in MAY_INCLUDE:
        for path in project.layer_files(layer):
            if project.where(path) in WALL_CLOCK_ALLOWED:
                continue
            for number, line in enumerate(read(path).splitlines(), 1):
                if WALL_CLOCK.search(line):
                    yield '%s reads the wall clock' % project.where(path, number)


TEXT_CHECKS = [
    layers_include_downwards, rivals_know_nothing_of_the_core, core_includes_only_what_computes,
    public_headers_include_only_each_other, examples_use_the_public_interface_only,
    public_functions_say_who_may_call_them, public_headers_are_short,
    lines_fit_and_nothing_is_left_to_do, files_open_with_what_they_decide,
    the_wall_clock_decides_nothing,
]
OBJECT_CHECKS = [
    core_needs_only_memory_and_computing, library_leaves_its_host_alone,
    library_has_no_mutable_globals, library_shows_what_px_api_marks,
    internal_functions_have_the_prefix,
]


def main():
    project = Project(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
    checks = TEXT_CHECKS + ([] if '--sanitized' in sys.argv else OBJECT_CHECKS)
    print('1..%d' % len(checks))
    n_failed = 0
    for number, check in enumerate(checks, 1):
        faults = list(check(project))
        n_failed += bool(faults)
        print('%s %d - %s' % ('not ok' if faults else 'ok', number, check.__name__))
        for fault in faults:
            print('# ' + fault)
    return 1 if n_failed else 0


sys.exit(main())
