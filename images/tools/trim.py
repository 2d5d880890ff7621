"""Take out of the installed libraries what no image needs: ``python trim.py FOLDER``.

What lives here: which AWS services an image can speak to, what of their descriptions is read, and
the kinds of files that are never run.
Run while an image is built; a name that is not there stops the build, because then a list here is
out of date.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SERVICES = frozenset(
    {
        "batch",
        "cloudfront",
        "dynamodb",
        "events",
        "lambda",
        "logs",
        "rekognition",
        "s3",
        "sqs",
        "ssm",
        "stepfunctions",
        # How credentials are found: roles, and a developer's own sign-in.
        "sso",
        "sso-oidc",
        "sts",
    }
)
"""Folders of botocore's data. 25 MB are those of the four hundred services not used here."""

DEVELOPMENT = (".pyi", ".pxd", ".pyx", ".h", ".c", ".a", ".js")
"""Suffixes of files that only compilers, editors and notebooks read."""

UNUSED = (
    "*.dist-info/RECORD",  # of files that this program removes, too
    "bin",
    "PIL/_avif.*",  # AVIF is libvips' business
    "pillow.libs/libavif-*",
    "PIL/_imagingcms.*",  # and so are profiles
    "pillow.libs/liblcms2-*",
    "PIL/_imagingmorph.*",
    "PIL/_imagingtk.*",
    # Of Powertools only the logger and the metrics are used.
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/auth_alpha",
    "aws_lambda_powertools/utilities/batch",
    "aws_lambda_powertools/utilities/circuit_breaker",
    "aws_lambda_powertools/utilities/data_classes",
    "aws_lambda_powertools/utilities/data_masking",
    "aws_lambda_powertools/utilities/feature_flags",
    "aws_lambda_powertools/utilities/idempotency",
    "aws_lambda_powertools/utilities/kafka",
    "aws_lambda_powertools/utilities/metadata",
    "aws_lambda_powertools/utilities/parameters",
    "aws_lambda_powertools/utilities/parser",  # for pydantic, which is not here
    "aws_lambda_powertools/utilities/streaming",
    "aws_lambda_powertools/utilities/validation",
    "boto3/data",  # of resources; only clients are made
    "botocore/data/*/*/examples-1.json",
    "dateutil/zoneinfo/*.tar.gz",  # the system has time zones
    "markdown_it",  # what Rich renders Markdown and source code with
    "mdurl",
    # Of OpenTelemetry's SDK only spans are used. Its API is FastAPI's too.
    "opentelemetry/sdk/_configuration",
    "opentelemetry/sdk/_logs",
    "opentelemetry/sdk/_shared_internal",
    "opentelemetry/sdk/error_handler",
    "opentelemetry/sdk/metrics",
    "opentelemetry/sdk/trace/export",
    "opentelemetry/semconv/trace",
    "numpy/_core/_*_tests.*",
    "numpy/_core/_simd.*",  # for numpy's own tests
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/f2py",  # a Fortran compiler's front end
    "numpy/polynomial",
    "numpy/random",
    "numpy/testing",
    "pygments",
)
"""Patterns of files and folders; each must match something."""

API = (
    "pydantic/mypy.py",  # for type checkers
    "pydantic/v1",  # pydantic as it was; FastAPI asks whether a model is one of it, and goes on
)
"""The same, of libraries that only the API has: not in every image."""

NAMES = "opentelemetry/semconv/_incubating"
KEPT_NAMES = frozenset({"otel_attributes.py", "otel_metrics.py"})
"""What the SDK reads of its tables of names, which are a quarter of its size."""

CODECS = ("libjxl-", "libjxl_cms-", "libbrotli", "liblcms2-")
"""What libjxl consists of, of the 85 MB of imagecodecs. Nothing else of it is loaded
(``worker.imaging.libjxl``)."""

HTTP2 = "urllib3/http2/__init__.py"
METADATA = "from importlib.metadata import version\n"
"""Imported by every process that speaks to AWS, with zipfile and its compressors, to look at the
version of a library for HTTP/2 that is not here: a sixteenth of a start's imports."""


def main(folder: Path) -> None:
    """Trim the libraries in a folder."""
    removed = sum(remove(path) for path in list(services(folder / "botocore" / "data")))
    # Afterwards: the files of a service that is gone cannot go again.
    removed += sum(remove(path) for path in list(unused(folder)))
    removed += sum(remove(path) for path in list(codecs(folder)))
    removed += sum(remove(path) for path in list(names(folder / NAMES)))
    lighten(folder / "botocore" / "data")
    import_late(folder / HTTP2, METADATA)
    print(f"trim: {removed / 1e6:.1f} MB removed")  # noqa: T201


def remove(path: Path) -> int:
    """Remove a file or a folder; the bytes it had."""
    bytes_ = size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return bytes_


def services(data: Path) -> Iterator[Path]:
    """Folders of services that are not used, and old versions of those that are."""
    found = {path.name: path for path in data.iterdir() if path.is_dir()}
    missing = SERVICES - set(found)
    if missing:
        sys.exit(f"trim: botocore has no {', '.join(sorted(missing))}")
    for name, path in found.items():
        if name not in SERVICES:
            yield path
        else:
            yield from sorted(child for child in path.iterdir() if child.is_dir())[:-1]


def codecs(folder: Path) -> Iterator[Path]:
    """Everything of imagecodecs but libjxl, its licences and the file that says where they are."""
    libraries = list((folder / "imagecodecs.libs").iterdir())
    for name in CODECS:
        if not any(path.name.startswith(name) for path in libraries):
            sys.exit(f"trim: imagecodecs has no {name}")
    yield from (path for path in libraries if not path.name.startswith(CODECS))
    package = folder / "imagecodecs"
    # Its __init__.py is found, never run: what it imports is gone.
    kept = {package / "__init__.py", package / "licenses"}
    kept |= {package / "licenses" / f"LICENSE-{name}" for name in ("libjxl", "brotli", "lcms2")}
    yield from (path for path in package.iterdir() if path not in kept)
    yield from (path for path in (package / "licenses").iterdir() if path not in kept)


def names(folder: Path) -> Iterator[Path]:
    """Tables of names that nothing here reads."""
    tables = list(folder.glob("*/*_*.py"))
    missing = KEPT_NAMES - {path.name for path in tables}
    if missing:
        sys.exit(f"trim: {NAMES} has no {', '.join(sorted(missing))}")
    yield from (path for path in tables if path.name not in KEPT_NAMES)


def lighten(data: Path) -> None:
    """Take out of the descriptions what the start of a process reads in vain.

    Texts for documentation are two thirds of a service's description, other services nineteen
    twentieths of the list of endpoints; and nothing has to be unpacked. Together that is 30 ms of
    the start of a function that uses three services.
    """
    for path in sorted(data.glob("*/*/*.json.gz")):
        write(path.with_suffix(""), without_texts(json.loads(gzip.decompress(path.read_bytes()))))
        path.unlink()
    path = data / "endpoints.json"
    endpoints = json.loads(path.read_bytes())
    prefixes = {prefix(model) for model in sorted(data.glob("*/*/service-2.json"))}
    for partition in endpoints["partitions"]:
        known = partition["services"]
        partition["services"] = {name: known[name] for name in known if name in prefixes}
    write(path, endpoints)


def without_texts(model: Any) -> Any:
    """A description whose texts are empty. A member that is called "documentation" is none."""
    if isinstance(model, dict):
        return {
            # Empty, not gone: botocore adds to some of them.
            name: "" if name == "documentation" and isinstance(value, str) else without_texts(value)
            for name, value in model.items()
        }
    return [without_texts(one) for one in model] if isinstance(model, list) else model


def prefix(model: Path) -> str:
    """What the list of endpoints calls a service."""
    return str(json.loads(model.read_bytes())["metadata"]["endpointPrefix"])


def write(path: Path, value: Any) -> None:
    """Write JSON without blanks."""
    path.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")


def import_late(path: Path, line: str) -> None:
    """Turn ``from MODULE import FUNCTION`` into a function that imports when it is called."""
    source = path.read_text("utf-8")
    if line not in source:
        sys.exit(f"trim: {path} has no {line!r}")
    name = line.rsplit(maxsplit=1)[-1]
    late = f"def {name}(*arguments):\n    {line}    return {name}(*arguments)\n"
    path.write_text(source.replace(line, late), "utf-8")


def unused(folder: Path) -> Iterator[Path]:
    """Tests, sources and whatever else is never run."""
    gone: set[Path] = set()
    for pattern in (*UNUSED, *(API if (folder / "fastapi").exists() else ())):
        found = set(folder.glob(pattern))
        if not found:
            sys.exit(f"trim: there is no {pattern}")
        gone |= found
    gone |= {path for path in folder.rglob("tests") if path.is_dir()}
    gone |= {path for path in folder.rglob("*") if path.suffix in DEVELOPMENT and path.is_file()}
    # A folder's content goes with it.
    yield from sorted(path for path in gone if gone.isdisjoint(path.parents))


def size(path: Path) -> int:
    """Bytes of a file, or of everything in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
