"""The words of the project: none that was retired comes back, in a name or in a sentence.

A word is retired where the field has one of its own, or where one word meant several things.
``python -m tests.unit.test_words`` prints every use that is left, with the word to use instead.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READ = (
    *("worker", "batch", "pulumi", "tests", "docs", "images", "findings", ".make", ".ci"),
    *("README.md", "Makefile", "pyproject.toml"),
)
SUFFIXES = {"", ".py", ".md", ".toml", ".html", ".j2", ".json", ".yaml", ".sh", ".cjs"}
HISTORY = ("docs/decisions/*", "tests/unit/test_words.py", "*/golden/*", "*/__pycache__/*")
"""What tells of former names stays as it was; so does CHANGELOG.md, which is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """Retired words of some files: expressions for them, each with the word to use instead."""

    paths: tuple[str, ...] = ("*",)
    names: Mapping[str, str] = field(default_factory=dict)
    """Parts of names in Python: between underscores, or from capital to capital."""
    prose: Mapping[str, str] = field(default_factory=dict)
    """In docstrings, comments, messages and documents."""


VIDEO = ("worker/video/*", "worker/bench/video.py", "batch/operations/*transcode*")
LOCAL = ("worker/local/*", "tests/unit/local_batch/*")
INGEST = ("worker/services/*", "worker/subprocesses/*")
JOBS = ("batch/*", "tests/unit/batch/*", "pulumi/*", "docs/jobs.md")
QUEUES = (
    *("*dead_letters*", "*dlq*", "pulumi/*", "tests/infra/*", "docs/*", "README.md"),
    *("worker/local/roles.py", "worker/local/state_machine/*", "tests/integration/*"),
)
TABLE = (
    Retired(
        names={
            "actors?": "role",
            "aside": "staging",
            "bur(y|ied|ies|ying)": "reap",
            "conclude[sd]?": "after_commit",
            "contenders?": "implementations",
            "crew": "workers",
            "crooked": "odd_rotation",
            "evened": "normalised",
            "films?": "video",
            "hopeless": "not_retryable",
            "lanes?": "queue pair",
            "leash": "parent_death_signal",
            "leftovers?": "orphans",
            "likeness": "similarity",
            "lineup": "config",
            "patience": "backoff",
            "plumbing": "service",
            "regain": "succeeded",
            "shelf|shelves": "rendition store",
            "sounds?": "audio",
            "succession": "catalog_rules",
            "tally": "summary",
            "twins?": "duplicate",
            "wary": "needs_sandbox",
            "wish(es|ed)?": "job spec",
        },
        prose={
            r"(an?|the|its|each|every|one|no) aside|asides": "staging file",
            r"bur(y|ied|ies|ying)": "reap",
            r"crew": "workers",
            r"crooked": "odd rotation",
            r"evened": "normalised",
            r"films?": "video",
            r"hand(s|ed|ing)? in": "submit",
            r"(how|much|so) alike|likeness": "compare, similar, similarity",
            r"hopeless": "not retryable",
            r"lanes?": "queue pair",
            r"leash": "parent death signal",
            r"output places?|places? (for|of) (the )?outputs?": "output store",
            r"patience": "backoff",
            r"shelf|shelves": "rendition store",
            r"sounds?": "audio, audio track",
            r"steps? of (a|the|its) ladder": "rung",
            r"twins?": "duplicate",
            r"wish(es|ed)?": "job spec",
        },
    ),
    Retired(
        paths=(*VIDEO, *JOBS),
        names={"pieces?": "chunk", "surroundings": "submit context"},
        prose={"pieces": "chunks", "surroundings": "submit context"},
    ),
    Retired(
        paths=VIDEO,
        names={
            "clock": "time_base",
            "origin": "start_pts",
        },
    ),
    Retired(
        paths=(*JOBS, "worker/services/*", "worker/entrypoints/*", "tests/contract/*object*"),
        names={"places?": "output store", "worlds?": "job services", "clouds?": "job services"},
    ),
    Retired(
        paths=LOCAL,
        names={"grants": "iam_policies", "lose": "failed", "permits?": "iam_simulator"},
    ),
    Retired(
        paths=INGEST,
        names={"confine": "run_sandboxed", "settle": "commit"},
    ),
    Retired(
        paths=QUEUES,
        names={"letters?": "dead_letter"},
        prose={"letters?": "dead letter"},
    ),
)
MODULES = {
    **{"adapted": "emulator_patches", "agreements": "checks", "allocation": "malloc"},
    **{"body": "compression", "boxes": "isobmff", "closing": "commit", "containers": "structure"},
    **{"ending": "exit_codes", "handle": "one_file", "layers": "components", "lettering": "page"},
    **{"local_run": "process_files", "machines": "compute_environments", "needs": "resources"},
    **{"noise": "stderr", "order": "arguments", "purposes": "descriptions", "race": "compare"},
    **{"refuse": "rejections", "serial": "codec", "session": "run_local", "shown": "served"},
    **{"signals": "metric_filters", "sources": "fingerprint", "stopping": "stop"},
    **{"suitable": "input_types", "symbols": "placeholders", "telling": "sns_events"},
    **{"together": "cross_checks", "watched": "alarms", "watching": "cloudwatch"},
}
"""Names of modules that were retired, beside those with a retired part."""
PHRASES = (
    r"cloud[ _-]?(event|watch|front|formation|trail)",
    r"in[ _]places?",
    r"dead[ _-]letters?",
    r"(small|capital|case|no|of) letters?|letters?,? (and|or) digits?",
)
"""The field's own uses: names of AWS, letters of the alphabet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempt:
    """A word that stays where it is, and why."""

    path: str
    words: str
    reason: str


EXEMPT: tuple[Exempt, ...] = (
    *(
        Exempt(path=path, words="film", reason="ITU-T H.273 calls a set of primaries so")
        for path in ("worker/domain/colour.py", "worker/services/process_files/wording.py")
    ),
    *(
        Exempt(path=path, words="film", reason="a stored field and name: AssetRecord.film")
        for path in (
            *("worker/domain/asset.py", "worker/domain/events.py", "worker/services/finalize.py"),
            *("worker/entrypoints/cli/assets.py", "worker/entrypoints/api/views.py"),
            *("docs/catalog.md", "worker/services/label.py", "tests/unit/test_label_stage.py"),
            *("tests/contract/test_wire.py", "tests/integration/job_uploads.py"),
            "tests/unit/finalize/*",
            "tests/unit/test_markup.py",
        )
    ),
    Exempt(path="tests/unit/test_erase.py", words="film", reason="the name of a sample file"),
    Exempt(path="README.md", words="letter", reason="a sample picture, broken/letter.jpg"),
    Exempt(path="docs/guide-folder.md", words="letter", reason="the same sample"),
    Exempt(path="docs/tutorial-local.md", words="letter", reason="the same sample"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a retired word."""

    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} -> {self.instead}"


COMMENT = re.compile(r"(?:^|\s)# (.+)$")
PHRASE = re.compile(rf"(?<![a-z])(?:{'|'.join(PHRASES)})(?![a-z])")


@dataclass(frozen=True, slots=True)
class Words:
    """Retired words as one expression."""

    expression: re.Pattern[str]
    instead: tuple[str, ...]

    def used(self, text: str) -> Iterator[tuple[int, str, str]]:
        """Each use in a text of small dead letters: where, which word, what stands in its place."""
        if self.instead:
            hidden = PHRASE.sub(lambda phrase: "." * len(phrase[0]), text)
            for match in self.expression.finditer(hidden):
                yield (
                    match.start(),
                    " ".join(match[0].split()),
                    self.instead[int(str(match.lastgroup)[1:])],
                )


@cache
def words_of(path: str) -> tuple[Words, Words]:
    """The words that are retired in a file: in names, and in prose."""
    names: dict[str, str] = {}
    prose: dict[str, str] = {}
    for one in TABLE:
        if any(fnmatch.fnmatch(path, pattern) for pattern in one.paths):
            names |= one.names
            prose |= one.prose
    return _words(names), _words(prose)


def _words(words: Mapping[str, str]) -> Words:
    # Inner groups have no name, so that the last named one says which word it was.
    spread = [word.replace("(", "(?:").replace(" ", r"\s+") for word in words]
    groups = (f"(?P<w{number}>{word})" for number, word in enumerate(spread))
    return Words(re.compile(rf"(?<![a-z])(?:{'|'.join(groups)})(?![a-z])"), tuple(words.values()))


def parts(name: str) -> str:
    """``OutputStoreURL2`` is ``output_store_url_``."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\d+", "_", split).lower()


@cache
def in_name(words: Words, name: str) -> tuple[tuple[str, str], ...]:
    """Each use in a name, with what stands in its place. Most names are used many times."""
    return tuple((word, instead) for _, word, instead in words.used(parts(name)))


def uses_in_text(path: str, text: str, first: int = 1) -> Iterator[Use]:
    """Uses in sentences, which may break a line anywhere."""
    for at, word, instead in words_of(path)[1].used(text.lower()):
        yield Use(path=path, line=first + text.count("\n", 0, at), word=word, instead=instead)


def uses_in_python(path: str, text: str) -> Iterator[Use]:
    """Uses in the names, comments and sentences of a module, and in its own name."""
    names = words_of(path)[0]
    module = Path(path).stem.removeprefix("test_")
    if module in MODULES and not path.startswith("tests/"):
        yield Use(path=path, line=0, word=module, instead=MODULES[module])
    for word, instead in in_name(names, module):
        yield Use(path=path, line=0, word=word, instead=instead)
    for node in ast.walk(ast.parse(text)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and " " in node.value:
                yield from uses_in_text(path, node.value, line)
            continue
        for _, value in ast.iter_fields(node):  # texts in other nodes are names
            for name in value if isinstance(value, list) else [value]:
                if isinstance(name, str):
                    for word, instead in in_name(names, name):
                        yield Use(path=path, line=line, word=word, instead=instead)
    for number, whole in enumerate(text.splitlines(), 1):
        if comment := COMMENT.search(whole):
            yield from uses_in_text(path, comment[1], number)


def files() -> Iterator[Path]:
    """All texts of the project that people read."""
    for name in READ:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            near = path.relative_to(ROOT).as_posix()
            history = any(fnmatch.fnmatch(near, pattern) for pattern in HISTORY)
            if path.suffix in SUFFIXES and path.is_file() and not history:
                yield path


@cache
def every_use() -> tuple[Use, ...]:
    """Every use, exempt or not."""
    found: list[Use] = []
    for path in files():
        near, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        read = uses_in_python if path.suffix == ".py" else uses_in_text
        found += read(near, text)
    return tuple(found)


def exempts(rule: Exempt, use: Use) -> bool:
    """Whether a use may stay."""
    return fnmatch.fnmatch(use.path, rule.path) and bool(re.fullmatch(rule.words, use.word))


def left() -> list[str]:
    """Uses that nothing exempts."""
    return [str(one) for one in every_use() if not any(exempts(rule, one) for rule in EXEMPT)]


def test_no_retired_word_comes_back() -> None:
    """Names and sentences use the field's words; an exception has its reason in this file, and goes
    with the last use of its word.
    """
    assert left() == []
    assert [rule for rule in EXEMPT if not any(exempts(rule, one) for one in every_use())] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class FilmInfo:\n    wish_list = 1", ["film", "wish"]),
        ("SQSLane = aWish2 = 1", ["lane", "wish"]),
        ("CloudWatch = replace = in_place = planes = 1", []),
        ('"""The file is handed\n    in to Batch."""', ["handed in"]),
        ("# A shelf,\n# and shelves", ["shelf", "shelves"]),
        ("# the letters a and b, and a dead letter", ["letters"]),
        ("# letters and digits, small letters", []),
        ('x = f"the film {film} has sound"', ["film", "sound", "film"]),
        ('x = "film"', []),
    ],
)
def test_a_retired_word_is_found(text: str, words: list[str]) -> None:
    """Names are split at underscores and capitals; sentences may break a line anywhere."""
    found = [one.word for one in uses_in_python("worker/services/dead_letters.py", text)]

    assert sorted(found) == sorted(words)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("worker/video/encode.py", "pieces"),
        ("batch/outputs.py", "place"),
        ("worker/domain/body.py", "body"),
        ("tests/unit/test_shelf.py", "shelf"),
    ],
)
def test_some_words_are_retired_in_some_files(path: str, word: str) -> None:
    """A word that is another's own elsewhere is only looked for where it was private."""
    elsewhere = uses_in_python("worker/imaging/plan.py", f"{word} = 1")

    assert word in [one.word for one in uses_in_python(path, f"{word} = 1")]
    assert word == "shelf" or [one.word for one in elsewhere] == []


if __name__ == "__main__":
    for line in left():
        print(line)  # noqa: T201 - a list for people
