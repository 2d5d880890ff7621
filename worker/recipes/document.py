"""A parsed TOML document as a :class:`~worker.domain.image.Recipe`: structure, defaults, rules.

The rules here need more than one value to judge; ``schema`` has those about one value. All mistakes
go to one :class:`~worker.recipes.schema.Problems`; nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from worker.domain.errors import WorkflowError
from worker.domain.image import (
    Encoding,
    Fit,
    Format,
    Gravity,
    KeepTag,
    Limits,
    QualityTarget,
    Recipe,
    RenditionSpec,
    Watermark,
)
from worker.domain.label import LabelRules
from worker.domain.moderation import CategoryRule, ModerationRules, ModerationTier
from worker.domain.workflow import APPROVE, MODERATE, NO_WORKFLOW, VIDEO, StageKind
from worker.recipes.schema import (
    BAD,
    CATEGORY,
    ENCODING,
    LABELS,
    LIMITS,
    MAXIMUM_CATEGORIES,
    MAXIMUM_RENDITIONS,
    MODERATION,
    OUTPUTS,
    RECIPE,
    RENDITION,
    TARGET,
    TRAITS,
    WATERMARK,
    Problems,
    RecipeKey,
    RecipeTable,
    join,
    listed,
    printable,
    suggestion,
)

Values = Mapping[str, Any]
"""The values of a table, by field name; BAD for values with a reported mistake."""
ReadAsset = Callable[[str, str, Problems], bytes | None]
"""(path as the recipe has it, path of the key, problems) -> contents, or None and a problem."""

_LOOK = frozenset({"quality", "target", "lossless", "distance", "repack"})
"""The ways to say how good a file should look; an entry says at most one."""


def _no_files(_name: str, path: str, problems: Problems) -> None:
    problems.add(path, "needs a recipe file: what it names is found relative to it")


def build(
    document: Mapping[str, object],
    read_asset: ReadAsset,
    problems: Problems,
    *,
    read_workflow: ReadAsset = _no_files,
) -> Recipe:
    """The recipe that ``document`` describes, without its digest.

    Only worth anything if ``problems`` is still empty afterwards.
    """
    good = _good(RECIPE.read(document, "", problems))
    defaults = _defaults(good.pop("-defaults", {}), problems)
    _read_approval(good, problems)
    if "limits" in good:
        good["limits"] = Limits(**_good(LIMITS.read(good["limits"], "limits", problems)))
    if "moderation" in good:
        good["moderation"] = _moderation(good["moderation"], problems)
    if "labels" in good:
        good["labels"] = LabelRules(**_good(LABELS.read(good["labels"], "labels", problems)))
    assets: dict[str, bytes] = {}
    _read_workflow(good, assets, read_workflow, problems)
    if "renditions" in good:
        good["renditions"] = _renditions(good["renditions"], defaults, problems)
        for index, spec in enumerate(good["renditions"]):
            image = spec.watermark.image if spec.watermark else None
            if image is not None and image not in assets:
                path = f"renditions[{index}].watermark.image"
                contents = read_asset(image, path, problems)
                if contents is not None:
                    assets[image] = contents
    _moderated_by(good, problems)
    _check_gain_map(good, problems)
    _check_labels(good, problems)
    _check_upload(good, problems)
    unread: dict[str, Any] = {"name": "", "version": 0, "renditions": ()}
    return Recipe(**(unread | good), assets=assets)


def _read_approval(good: dict[str, Any], problems: Problems) -> None:
    """``approval = true`` is what ``workflow = "approve"`` was called."""
    if not good.pop("-approval", False):
        return
    said = good.setdefault("workflow", APPROVE)
    if said != APPROVE:
        problems.add("approval", f'contradicts workflow = "{said}"; leave it out')


def _read_workflow(
    good: dict[str, Any], assets: dict[str, bytes], read: ReadAsset, problems: Problems
) -> None:
    """The named workflow: a shipped workflow, or a file beside the recipe."""
    said = good.get("workflow", NO_WORKFLOW)
    if said == NO_WORKFLOW:
        return
    from worker.recipes import workflow as workflows  # most recipes name none

    try:
        if not said.lower().endswith(".toml"):
            good["definition"] = workflows.load_shipped(said)
            return
        data = read(said, "workflow", problems)
        if data is None:
            return
        assets[said] = data
        made = workflows.parse(data.decode("utf-8-sig"), subject=printable(said))
        good |= {"workflow": made.name, "workflow_file": said, "definition": made}
        if made.name in {NO_WORKFLOW, *workflows.shipped()}:
            problems.add("workflow", f'is called "{made.name}", as one that ships')
    except UnicodeDecodeError:
        problems.add("workflow", "is not UTF-8 text")
    except WorkflowError as error:
        for found in error.problems:
            place = f"{printable(said[:100])}: {found.path}: " if found.path else ""
            problems.add("workflow", f"{place}{found.message}")


def _moderated_by(good: dict[str, Any], problems: Problems) -> None:
    """What is escalated goes through ``workflow = "moderate"``, unless another one is named."""
    made = {
        one.format
        for spec in good.get("renditions", ())
        for one in spec.encodings
        if not one.first_view
    }
    if "moderation" in good and made == {Format.JXL}:
        problems.add("moderation", "looks at a file made at upload that is not jxl: make one")
    if "moderation" not in good:
        if good.get("workflow") == MODERATE:
            problems.add(
                "workflow", 'is "moderate", and there is no [moderation] to say what that is'
            )
        return
    said = good.setdefault("workflow", MODERATE)
    if said in (NO_WORKFLOW, VIDEO):
        problems.add("workflow", f'is "{said}", which does nothing with what [moderation] holds')


def _check_gain_map(good: Values, problems: Problems) -> None:
    specs, keep = good.get("renditions", ()), good.get("keep", frozenset())
    formats = {encoding.format for spec in specs for encoding in spec.encodings}
    if formats and KeepTag.GAINMAP in keep and Format.JPEG not in formats:
        problems.add("keep", '"gainmap" has no effect: only jpeg carries one, and none is made')


def _check_labels(good: Values, problems: Problems) -> None:
    said, definition = good.get("workflow", NO_WORKFLOW), good.get("definition")
    asks = definition is None or StageKind.LABEL in definition.kinds
    if "labels" in good and (said == NO_WORKFLOW or not asks):
        what = f'has no effect: workflow is "{said}", and nothing in it asks for labels'
        problems.add("labels", what)
    rules, specs = good.get("labels"), good.get("renditions", ())
    cuts = any(one.fit is Fit.COVER for one in specs)
    if rules is not None and rules.focus and specs and not cuts:
        problems.add("labels.focus", 'has no effect: no rendition has fit = "cover"')


def _check_upload(good: Values, problems: Problems) -> None:
    encodings = [one for spec in good.get("renditions", ()) for one in spec.encodings]
    if encodings and all(one.first_view for one in encodings):
        problems.add("renditions", "are all made at first view: make one file at upload at least")


def _good(values: Values) -> dict[str, Any]:
    return {field: value for field, value in values.items() if value is not BAD}


def _wrong(values: Values, *fields: str) -> bool:
    """Whether one of ``fields`` was reported already: rules about it would only add noise."""
    return any(values.get(field) is BAD for field in fields)


# --- moderation -------------------------------------------------------------------------------


def _moderation(raw: Mapping[str, object], problems: Problems) -> ModerationRules:
    path = "moderation"
    values = MODERATION.read(raw, path, problems)
    good = _good(values)
    if "categories" in good:
        good["categories"] = _categories(good["categories"], f"{path}.categories", problems)
    rules = ModerationRules(**({"categories": ()} | good))
    if not _wrong(values, "tiers"):
        _check_tiers(raw, rules.tiers, problems)
    if _wrong(values, "uncertain", "tiers") or ModerationTier.CLASSIFIER not in rules.tiers:
        return rules
    low, high = rules.uncertain
    if low > high:
        problems.add(f"{path}.uncertain", f"begins at {low:g}, above its end at {high:g}")
    elif low > rules.lowest:
        said = (
            f"begins at {low:g}, above the threshold of {rules.lowest:g}: "
            "the classifier would let pass what Rekognition holds"
        )
        problems.add(f"{path}.uncertain", said)
    return rules


def _check_tiers(
    raw: Mapping[str, object], tiers: frozenset[ModerationTier], problems: Problems
) -> None:
    needed = {
        "near_duplicates": {ModerationTier.EARLIER},
        "uncertain": {ModerationTier.CLASSIFIER},
        "sample": {ModerationTier.CLASSIFIER, ModerationTier.REKOGNITION},
    }
    if tiers == {ModerationTier.EARLIER}:
        problems.add("moderation.tiers", "need classifier or rekognition: who else decides first?")
        return
    for name, by in needed.items():
        if name in raw and not by <= tiers:
            missing = listed(sorted(by - tiers)).replace(" or ", " and ")
            problems.add(f"moderation.{name}", f"has no effect: {missing} is no tier here")


def _categories(raw: Sequence[object], path: str, problems: Problems) -> tuple[CategoryRule, ...]:
    if not 1 <= len(raw) <= MAXIMUM_CATEGORIES:
        problems.add(path, f"must be 1 to {MAXIMUM_CATEGORIES}, are {len(raw)}")
    rules: list[CategoryRule] = []
    taken: dict[str, int] = {}
    for index, item in enumerate(raw[:MAXIMUM_CATEGORIES]):
        here = f"{path}[{index}]"
        if not isinstance(item, dict):
            problems.add(here, 'must be a table: { name = "explicit", hold = 60 }')
            continue
        values = CATEGORY.read(item, here, problems)
        rule = CategoryRule(**({"name": ""} | _good(values)))
        if rule.name and taken.setdefault(rule.name, index) != index:
            problems.add(f"{here}.name", f'"{rule.name}" is taken by {path}[{taken[rule.name]}]')
        if not _wrong(values, "blur", "hold", "reject"):
            _check_thresholds(rule, here, problems)
        rules.append(rule)
    return tuple(rules)


def _check_thresholds(rule: CategoryRule, path: str, problems: Problems) -> None:
    if not rule.thresholds:
        problems.add(path, "needs blur, hold or reject: without them it decides nothing")
    for (severe, upper), (mild, lower) in pairwise(rule.thresholds):
        if lower >= upper:
            said = f"is {lower:g} and has no effect: from {upper:g} on it is {severe}"
            problems.add(f"{path}.{mild}", said)


# --- renditions -------------------------------------------------------------------------------


def _renditions(
    raw: Sequence[object], defaults: Mapping[Format, Values], problems: Problems
) -> tuple[RenditionSpec, ...]:
    if not 1 <= len(raw) <= MAXIMUM_RENDITIONS:
        problems.add("renditions", f"must be 1 to {MAXIMUM_RENDITIONS}, are {len(raw)}")
    specs: list[RenditionSpec] = []
    taken: dict[str, int] = {}
    for index, item in enumerate(raw[:MAXIMUM_RENDITIONS]):
        path = f"renditions[{index}]"
        if not isinstance(item, dict):
            problems.add(path, "must be a table: [[renditions]]")
            continue
        spec = _rendition(item, path, defaults, problems)
        if spec.name and taken.setdefault(spec.name, index) != index:
            first = taken[spec.name]
            problems.add(f"{path}.name", f'"{spec.name}" is taken by renditions[{first}]')
        specs.append(spec)
    return tuple(specs)


def _rendition(
    raw: Mapping[str, object],
    path: str,
    defaults: Mapping[Format, Values],
    problems: Problems,
) -> RenditionSpec:
    values = RENDITION.read(raw, path, problems)
    good = _good(values)
    if "encodings" in good:
        good["encodings"] = _encodings(good["encodings"], f"{path}.formats", defaults, problems)
    if "watermark" in good:
        good["watermark"] = _watermark(good["watermark"], f"{path}.watermark", problems)
    spec = RenditionSpec(**({"name": "", "encodings": ()} | good))
    _check_box(spec, values, path, problems)
    _check_gravity(spec, values, path, problems)
    for index, encoding in enumerate(spec.encodings):
        side = TRAITS[encoding.format].side
        if max(spec.width or 0, spec.height or 0) > side:
            problems.add(
                f"{path}.formats[{index}]", f"{encoding.format} has at most {side} pixels a side"
            )
    return spec


def _check_box(spec: RenditionSpec, values: Values, path: str, problems: Problems) -> None:
    if _wrong(values, "width", "height", "fit"):
        return
    if spec.fit is Fit.INSIDE:
        if spec.width is None and spec.height is None:
            problems.add(path, 'needs width, height or both (fit = "inside")')
        return
    for side in ("width", "height"):
        if getattr(spec, side) is None:
            problems.add(f"{path}.{side}", f'is missing: fit = "{spec.fit}" needs both sides')


def _check_gravity(spec: RenditionSpec, values: Values, path: str, problems: Problems) -> None:
    # Keys without effect are refused: their author expects something from them.
    if _wrong(values, "fit", "gravity", "focal_point"):
        return
    if spec.gravity is not Gravity.CENTRE and spec.fit is not Fit.COVER:
        problems.add(
            f"{path}.gravity", f'has no effect: only fit = "cover" cuts, this is "{spec.fit}"'
        )
    elif spec.gravity is Gravity.FOCAL and spec.focal_point is None:
        problems.add(f"{path}.focal_point", 'is missing: gravity = "focal" needs it, as [x, y]')
    elif spec.gravity is not Gravity.FOCAL and spec.focal_point is not None:
        problems.add(f"{path}.focal_point", 'has no effect without gravity = "focal"')


def _watermark(raw: Mapping[str, object], path: str, problems: Problems) -> Watermark:
    values = WATERMARK.read(raw, path, problems)
    mark = Watermark(**_good(values))
    if not _wrong(values, "image", "text"):
        if (mark.image is None) == (mark.text is None):
            both = "not both" if mark.image is not None else "has neither"
            problems.add(path, f"needs exactly one of image and text, {both}")
        elif mark.image is not None and mark.colour != Watermark().colour:
            problems.add(f"{path}.colour", "has no effect: it is the colour of text")
    return mark


# --- formats ----------------------------------------------------------------------------------


def _defaults(raw: Mapping[str, object], problems: Problems) -> dict[Format, Values]:
    """``[defaults]``: what entries of ``formats`` start from, by format."""
    found: dict[Format, Values] = {}
    for name, table in raw.items():
        path = join("defaults", name)
        format_ = next((member for member in OUTPUTS if member == name), None)
        if format_ is None:
            near = "" if problems.full else suggestion(name, OUTPUTS)
            problems.add(path, f"must be named {listed(OUTPUTS)}{near}")
        elif not isinstance(table, dict):
            problems.add(path, f"must be a table: [defaults.{format_}]")
        else:
            found[format_] = _encoding_values(format_, table, path, problems)
    return found


def _encodings(
    raw: Sequence[object],
    path: str,
    defaults: Mapping[Format, Values],
    problems: Problems,
) -> tuple[Encoding, ...]:
    if not raw:
        problems.add(path, f"must have at least one format: {listed(OUTPUTS)}")
    encodings: list[Encoding] = []
    taken: dict[Format, int] = {}
    for index, item in enumerate(raw):
        if problems.full:
            break
        here = f"{path}[{index}]"
        if isinstance(item, str):
            # "jpeg" is short for { format = "jpeg" }
            format_ = ENCODING.keys["format"].read(item, here, problems)
            own: Mapping[str, object] = {}
        elif isinstance(item, dict):
            format_ = _format_of(item, here, problems)
            own = {key: value for key, value in item.items() if key != "format"}
        else:
            problems.add(here, 'must be the name of a format or a table { format = "jpeg" }')
            continue
        if not isinstance(format_, Format):
            continue
        if taken.setdefault(format_, index) != index:
            problems.add(here, f"{format_} is listed already, as {path}[{taken[format_]}]")
            continue
        values = _encoding_values(format_, own, here, problems)
        encodings.append(_merged(format_, values, defaults.get(format_, {})))
        if encodings[-1].repack and Format.JPEG not in taken:
            problems.add(f"{here}.repack", "packs the jpeg of this rendition: list it before")
    return tuple(encodings)


def _format_of(item: Mapping[str, object], path: str, problems: Problems) -> object:
    if isinstance(item.get("format"), str):
        return ENCODING.keys["format"].read(item["format"], f"{path}.format", problems)
    # Without a format the rest can only be checked against the keys of all formats together.
    ENCODING.read(item, path, problems)
    return None


def _encoding_values(
    format_: Format, raw: Mapping[str, object], path: str, problems: Problems
) -> Values:
    keys = TRAITS[format_].keys
    known: dict[str, object] = {}
    for name, value in raw.items():
        if name in ENCODING.keys and name not in keys:
            problems.add(f"{path}.{name}", _not_for(format_, name, keys))
        else:
            known[name] = value
    good = _good(RecipeTable(ENCODING.title, Encoding, keys).read(known, path, problems))
    if "target" in good:
        good["target"] = _target(good["target"], f"{path}.target", problems)
    if good.get("repack"):
        for name in sorted(good.keys() & {*_LOOK, "progressive"} - {"repack"}):
            problems.add(f"{path}.{name}", "has no effect with repack = true")
    elif good.get("lossless"):
        for name in sorted(good.keys() & {"quality", "target", "distance"}):
            problems.add(f"{path}.{name}", "has no effect with lossless = true")
    elif {"quality", "target"} <= good.keys():
        problems.add(f"{path}.quality", "has no effect: the target finds the quality")
    elif "distance" in good and good.keys() & {"quality", "target"}:
        problems.add(f"{path}.distance", "is another way to say quality or target: leave one out")
    return good


def _not_for(format_: Format, name: str, keys: Mapping[str, RecipeKey]) -> str:
    if name == "format":
        return "is given by the name of the table"
    if name in _LOOK and format_ in (Format.PNG, Format.GIF):
        return f"{format_} has no {name}: it always keeps every pixel it is given"
    has = f"it has {listed(sorted(keys)).replace(' or ', ' and ')}" if keys else "it has no keys"
    return f"{format_} has no {name}; {has}"


def _target(raw: Mapping[str, object], path: str, problems: Problems) -> QualityTarget:
    values = TARGET.read(raw, path, problems)
    target = QualityTarget(**_good(values))
    if not _wrong(values, "ssim", "ssimulacra2") and (target.ssim is None) == (
        target.ssimulacra2 is None
    ):
        both = "has neither" if target.ssim is None else "not both"
        problems.add(path, f"needs exactly one of ssim and ssimulacra2, {both}")
    if not _wrong(values, "minimum", "maximum") and target.minimum > target.maximum:
        problems.add(
            f"{path}.minimum", f"is {target.minimum}, above the maximum of {target.maximum}"
        )
    return target


def _merged(format_: Format, own: Values, inherited: Values) -> Encoding:
    """``own`` over ``inherited`` over what the format starts from."""
    if _LOOK & {name for name, value in own.items() if value is not False}:
        # An entry that says how good it should look replaces what the defaults say about it.
        inherited = {key: value for key, value in inherited.items() if key not in _LOOK}
    start = TRAITS[format_].default
    given = {**inherited, **own}
    encoding = replace(start, **given)
    if encoding.lossless and "progressive" not in given:
        # Lossy files pay 3 % for it, lossless ones of photos 10 to 20 %.
        encoding = replace(encoding, progressive=False)
    unused = encoding.lossless or encoding.target or encoding.distance or encoding.repack
    if unused:
        # The quality is not used: it must not tell two recipes of one meaning apart.
        encoding = replace(encoding, quality=start.quality)
    return encoding
