"""What the documents name exists: files, tests, checkers of the simulator, mutants, constants and their values,
options and commands.

    documents.py SOURCE_ROOT BUILD_ROOT [--sanitized]      writes TAP

Only what stands in `such quotes` is looked at, and the names of tests and targets in commands. With --sanitized
those are left out: such a build has fewer tests."""

import json
import pathlib
import re
import shlex
import sys

FOLDERS = ('src', 'include', 'tools', 'bench', 'tests', 'examples', 'docs')
SOURCES = ('.c', '.h', '.py', '.sh', '.proto', '.build')


class Project:
    def __init__(self, source, build):
        self.source = source
        self.documents = [source / 'README.md'] + sorted(path for folder in FOLDERS
                                                         for path in (source / folder).rglob('*.md'))
        self.text = '\n'.join(path.read_text(encoding='utf-8') for folder in FOLDERS
                              for path in sorted((source / folder).rglob('*')) if path.suffix in SOURCES
                              and path.name != 'documents.py')
        tests = json.loads((build / 'meson-info/intro-tests.json').read_text())
        self.tests = {test['name'] for test in tests}
        self.suites = {suite.split(':')[-1] for test in tests for suite in test['suite']}
        targets = json.loads((build / 'meson-info/intro-targets.json').read_text())
        self.targets = {target['name'] for target in targets}
        self.built = {str(pathlib.Path(name).relative_to(build)) for target in targets for name in target['filename']
                      if name.startswith(str(build))}

    def quoted(self):
        """document, its text, and each `quote`"""
        for document in self.documents:
            text = re.sub(r'^```.*?^```', '', document.read_text(encoding='utf-8'), flags=re.S | re.M)
            for quote in re.findall(r'`([^`\n]+)`', text):
                yield document, quote

    def where(self, document):
        return str(document.relative_to(self.source))

    def read(self, *parts):
        return self.source.joinpath(*parts).read_text(encoding='utf-8')


def files_exist(project):
    for document, quote in project.quoted():
        for path in re.findall(r'(?<![\w./])(?:%s)/[\w./-]*\w' % '|'.join(FOLDERS), quote):
            if not (project.source / path).exists() and path not in project.built:
                yield f'{project.where(document)}: {path} is not there'


def tests_exist(project):
    for document, quote in project.quoted():
        match = re.fullmatch(r'([a-z]+)\.([a-z0-9]+(?:_[a-z0-9]+){2,})', quote)
        if match and not re.search(r'Test \(%s, %s\b' % match.groups(), project.text):
            yield f'{project.where(document)}: no test {quote}'


def commands_exist(project):
    for document in project.documents:
        text = document.read_text(encoding='utf-8')
        for words in re.findall(r'meson test -C build([^`\n]*)', text):
            words = shlex.split(words)
            for word in words:
                suite = words[words.index(word) - 1] == '--suite' and word != words[0]
                if not word.startswith('-') and word not in (project.suites if suite else project.tests):
                    yield f'{project.where(document)}: no test "{word}"'
        for target in re.findall(r'ninja -C build ([a-z]+)', text):
            if target not in project.targets:
                yield f'{project.where(document)}: no target "{target}"'


def constants_exist(project):
    for document, quote in project.quoted():
        for name in re.findall(r'\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b(?!=)', quote):
            if not re.search(r'\b%s\b' % name, project.text) and f'_##{name}' not in project.text:
                yield f'{project.where(document)}: no {name}'


def constants_have_their_values(project):
    rows = re.findall(r'^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$', project.read('docs/guarantees.md'), re.M)
    if not rows:
        yield 'docs/guarantees.md has no constants'
    for name, value, path in rows:
        if not re.search(r'(?<!\w)%s\b[ \\\n=(]+%s\b' % (re.escape(name), re.escape(value)), project.read(path)):
            yield f'docs/guarantees.md: {name} is not {value} in {path}'


def named(project, kind):
    """What follows the word: `one`, `two` and `three`."""
    text = project.read('docs/guarantees.md')
    for names in re.findall(r'\b%ss? ((?:`\w+`(?:,? and |, )?)+)' % kind, text):
        yield from re.findall(r'`(\w+)`', names)


def checkers_exist(project):
    said = ''.join(project.read('src/sim', name) for name in ('check.c', 'custody.c', 'sweep.c'))
    for name in named(project, 'checker'):
        if f'"{name}: ' not in said:
            yield f'docs/guarantees.md: no checker {name}'
    for name in sorted(set(re.findall(r'"([a-z]+): [^"]*"', said)) - set(named(project, 'checker'))):
        yield f'docs/guarantees.md says nothing of the checker {name}'


def mutants_exist(project):
    mutants = set(re.findall(r'^ +X \((\w+), \d+,', project.read('tests/mutants/mutants.h'), re.M))
    for name in sorted(set(named(project, 'mutant')) ^ mutants):
        yield f'{name} is in one of docs/guarantees.md and tests/mutants/mutants.h only'


def options_exist(project):
    for document, quote in project.quoted():
        for option in re.findall(r'(?<![\w-])--([a-z][a-z-]+)', quote):
            if option not in ('suite', 'buildtype') and not re.search(r'"%s"|--%s\b' % (option, option), project.text):
                yield f'{project.where(document)}: no option --{option}'


CHECKS = [files_exist, tests_exist, constants_exist, constants_have_their_values, checkers_exist,
          mutants_exist, options_exist]


def main():
    project = Project(*(pathlib.Path(word).resolve() for word in sys.argv[1:3]))
    checks = CHECKS + ([] if '--sanitized' in sys.argv else [commands_exist])
    print(f'1..{len(checks)}')
    n_failed = 0
    for number, check in enumerate(checks, 1):
        faults = sorted(set(check(project)))
        n_failed += bool(faults)
        print(f'{"not ok" if faults else "ok"} {number} - {check.__name__}')
        for fault in faults:
            print(f'# {fault}')
    return 1 if n_failed else 0


if __name__ == '__main__':
    sys.exit(main())
