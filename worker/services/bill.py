"""The bill of a month, line by line: each is amount x price and can be checked by hand.

The input is a design and a load (``worker/domain/bill.py``). All prices and assumptions are
those of ``worker/prices.toml``; docs/cost.md explains each line. List prices, without any free
tier, taxes or support.

A month's storage includes all uploads so far: the bill of month 12 includes the originals of a
year. Uploads are spread evenly, so the originals of the billed month are stored for half of it on
average.
"""

from __future__ import annotations

import math

from worker.domain.bill import (
    CATALOG,
    COMMITMENTS,
    COMPUTE,
    DELIVERY,
    ESCALATION,
    EVENTS,
    FILES,
    GROUPS,
    MACHINES,
    PLAN_LAMBDA,
    QUEUES,
    STORAGE,
    UPLOADS,
    WATCHING,
    Bill,
    Design,
    Traffic,
)
from worker.domain.errors import InputError
from worker.prices import GIGABYTE, Assumptions, Prices, known
from worker.services.bill_lines import BillLines
from worker.services.bill_month import SMALLEST, Month
from worker.services.escalation_cost import MODERATE, Escalated, escalated, tiers
from worker.services.tuning_curve import DurationCurve

ZONE_ENDPOINTS = 6
"""Interface endpoints of a private network in each zone (``pulumi/stack/network.py``)."""
FLAT_REQUESTS, FLAT_GIGABYTES = 500e6, 50 * 1024.0
"""Monthly allowance of the largest flat-rate plan (Amazon CloudFront Developer Guide,
"Flat-rate pricing plans")."""


def bill(
    design: Design,
    traffic: Traffic,
    price: Prices,
    need: Assumptions,
    durations: DurationCurve | None = None,
) -> Bill:
    """Price a month.

    Args:
        design: the choices.
        load: uploads and views.
        durations: measured durations, which replace the assumed ones.

    Raises:
        InputError: ``input_price``: a price that the bill needs is not known for the region.
    """
    month = Month(design=design, traffic=traffic, price=price, need=need, durations=durations)
    lines = BillLines(price)
    for part in (
        _uploads,
        _queues,
        _compute,
        _files,
        _originals,
        _renditions,
        _catalog,
        _events,
        _delivery,
        _machines,
        _escalation,
        _watching,
    ):
        part(month, lines)
    _commitments(month, lines)
    return Bill(
        lines=tuple(sorted(lines.found, key=lambda one: GROUPS.index(one.group))),
        design=design,
        traffic=traffic,
        region=price.region,
        images=month.images,
    )


def _count(amount: float) -> str:
    return f"{amount:,.0f}"


def _uploads(month: Month, lines: BillLines) -> None:
    images, told = (
        month.images,
        f"{_count(month.traffic.images_per_day)} a day x {month.need.month_days:g} days",
    )
    at = "cold_put_request" if month.design.originals == "cold" else "put_request"
    lines.add(UPLOADS)("S3, originals written", images, "PUT", at, told)
    read = "cold_get_request" if month.design.originals == "cold" else "get_request"
    lines.add(UPLOADS)(
        "S3, originals read",
        2 * images,
        "GET, HEAD",
        read,
        f"2 x {_count(images)} uploads",
    )
    if month.design.originals == "cold":
        lines.add(UPLOADS)(
            "S3, originals read from IA",
            month.gigabytes_in,
            "GB",
            "cold_retrieval",
            "each original once",
        )


def _queues(month: Month, lines: BillLines) -> None:
    images, batch = month.images, month.design.batch
    each = 1 + 2 / batch
    lines.add(QUEUES)(
        "SQS, uploads",
        images * each,
        "requests",
        "standard_queue_request",
        f"{_count(images)} uploads x (1 sent by S3 + 2 / {batch} received and deleted)",
    )
    if month.design.ordering == "fifo":
        calls = images / batch
        lines.add(QUEUES)(
            "EventBridge Pipes",
            images,
            "requests",
            "pipe_request",
            f"{_count(images)} uploads",
        )
        lines.add(QUEUES)(
            "SQS FIFO, uploads",
            3 * calls,
            "requests",
            "queue_request",
            f"{_count(images)} uploads x 3 / {batch}: sent, received, deleted",
        )
        lines.add(QUEUES)(
            "Lambda, grouping calls",
            calls,
            "calls",
            "invocation",
            f"{_count(images)} uploads / {batch}",
        )
        lines.add(QUEUES)(
            "Lambda, grouping",
            calls * month.need.group_seconds * month.need.group_gigabytes,
            "GB-s",
            month.lambda_price,
            f"{_count(calls)} calls x {month.need.group_seconds:g} s "
            f"x {month.need.group_gigabytes:g} GB",
        )
    lines.add(QUEUES)(
        "Lambda, provisioned pollers",
        month.design.pollers * month.need.month_hours,
        "hours",
        "poller_hour",
        f"{month.design.pollers} pollers x {month.need.month_hours:g} h",
    )


def _compute(month: Month, lines: BillLines) -> None:
    design, need, images = month.design, month.need, month.images
    gigabytes, seconds = design.memory / 1024, month.seconds
    calls = images / design.batch
    lines.add(COMPUTE)(
        "Lambda, calls of ingest",
        calls,
        "calls",
        "invocation",
        f"{_count(images)} uploads / {design.batch}",
    )
    if design.managed:
        seconds = month.machine_seconds
        hours = images * seconds / 3600 / need.provisioned_use
        at = "vcpu_hour" if design.architecture == "arm64" else "vcpu_hour_x86"
        told = (
            f"{_count(images)} uploads x {seconds:.3f} s / 3,600 / {need.provisioned_use:g} in use"
        )
        lines.add(COMPUTE)("Lambda, machines of ingest", hours, "vCPU hours", at, told)
        lines.plain(COMPUTE)(
            "Lambda, management of machines",
            hours,
            "vCPU hours",
            known(month.price, at) * month.price.managed_share,
            "a share of their price",
        )
    else:
        lines.add(COMPUTE)(
            "Lambda, ingest",
            images * seconds * gigabytes,
            "GB-s",
            month.lambda_price,
            f"{_count(images)} uploads x {seconds:.3f} s x {gigabytes:.4f} GB",
        )
        lines.add(COMPUTE)(
            "Lambda, INIT of ingest",
            calls * need.cold_share * month.init_seconds * gigabytes,
            "GB-s",
            month.lambda_price,
            f"{_count(calls)} calls x {need.cold_share:g} cold x {month.init_seconds:g} s "
            f"x {gigabytes:.4f} GB",
        )
    changes = images * need.upload_events
    lines.add(COMPUTE)(
        "Lambda, calls of the outbox",
        changes / need.outbox_batch,
        "calls",
        "invocation",
        f"{_count(changes)} changes / {need.outbox_batch:g}",
    )
    lines.add(COMPUTE)(
        "Lambda, outbox",
        changes * need.outbox_seconds * need.outbox_gigabytes,
        "GB-s",
        month.lambda_price,
        f"{_count(changes)} changes x {need.outbox_seconds:g} s x {need.outbox_gigabytes:g} GB",
    )


def _files(month: Month, lines: BillLines) -> None:
    need, images = month.need, month.images
    lines.add(FILES)(
        "S3, files written",
        images * month.files,
        "PUT",
        "put_request",
        f"{_count(images)} uploads x {month.files:g} files",
    )
    made = images * month.lazy_files
    if not made:
        return
    told = f"{_count(images)} uploads x {month.lazy_files:.2f} files at first view"
    lines.add(FILES)("S3, files written at first view", made, "PUT", "put_request", told)
    lines.add(FILES)("S3, sources of first views", made, "GET", "get_request", told)
    lines.add(FILES)("DynamoDB, claims of first views", made, "write units", "write_unit", told)
    seconds = need.seconds_fixed + need.second_seconds * month.traffic.megabytes
    gigabytes = month.delivery_gigabytes
    lines.add(COMPUTE)("Lambda, calls at first view", made, "calls", "invocation", told)
    lines.add(COMPUTE)(
        "Lambda, files at first view",
        made * seconds * gigabytes,
        "GB-s",
        month.lambda_price,
        f"{_count(made)} files x {seconds:.3f} s x {gigabytes:.4f} GB",
    )


def _originals(month: Month, lines: BillLines) -> None:
    design, images = month.design, month.images
    each, glacier = month.gigabytes_in, design.glacier_after_days or math.inf
    told = ""
    if month.small:
        # No lifecycle rule moves them, and Intelligent-Tiering neither monitors nor moves them.
        glacier, told = math.inf, ", smaller than 128 KB: never moved"
        if design.originals == "cold":
            each = images * SMALLEST / GIGABYTE
            told = ", billed as 128 KB each"
    if design.originals == "tiering" and not month.small:
        _tiered(month, lines, glacier)
    else:
        at = "cold_month" if design.originals == "cold" else "storage_month"
        lines.add(STORAGE)(
            "S3, originals",
            each * month.kept(0, glacier),
            "GB-months",
            at,
            f"{each:,.0f} GB a month x {month.kept(0, glacier):.3f} months{told}",
        )
    if glacier == math.inf:
        return
    kept = month.kept(glacier)
    lines.add(STORAGE)(
        "S3, originals in Glacier IR",
        each * kept,
        "GB-months",
        "glacier_month",
        f"{each:,.0f} GB a month x {kept:.3f} months of more than {glacier:g} days",
    )
    lines.add(STORAGE)(
        "S3, transitions to Glacier IR",
        images * _reached(month, glacier),
        "objects",
        "glacier_transition",
        f"uploads that become {glacier:g} days old",
    )


def _tiered(month: Month, lines: BillLines, glacier: float) -> None:
    """Intelligent-Tiering: frequent for 30 days, infrequent until 90, then archive instant."""
    each = month.gigabytes_in
    steps = (
        ("frequent", 0, 30, "storage_month"),
        ("infrequent", 30, 90, "cold_month"),
        ("archive instant", 90, math.inf, "glacier_month"),
    )
    for name, low, high, at in steps:
        kept = month.kept(low, min(high, glacier))
        lines.add(STORAGE)(
            f"S3, originals, {name} tier",
            each * kept,
            "GB-months",
            at,
            f"{each:,.0f} GB a month x {kept:.3f} months",
        )
    watched = month.images * month.kept(0, glacier)
    lines.add(STORAGE)(
        "S3, watched by Intelligent-Tiering",
        watched,
        "objects a month",
        "tiering_object",
        f"{_count(month.images)} uploads x {month.kept(0, glacier):.3f} months",
    )
    if not month.design.tier_at_upload:
        lines.add(STORAGE)(
            "S3, transitions to Intelligent-Tiering",
            month.images,
            "objects",
            "tiering_transition",
            f"{_count(month.images)} uploads",
        )


def _reached(month: Month, age: float) -> float:
    """Share of a month's uploads that reach an age, in days, in this month."""
    end = month.traffic.month * month.need.month_days
    return min(max((end - age) / month.need.month_days, 0.0), 1.0)


def _renditions(month: Month, lines: BillLines) -> None:
    each = month.gigabytes_in * month.file_share
    kept = month.kept(0, month.design.rendition_days or math.inf)
    lines.add(STORAGE)(
        "S3, files",
        each * kept,
        "GB-months",
        "storage_month",
        f"{month.gigabytes_in:,.0f} GB x {month.file_share:.3f} of their bytes x {kept:.3f} months",
    )
    if month.design.access_logs:
        requests = month.images * (3 + month.files) + month.fetches
        held = requests * month.need.access_log_bytes / GIGABYTE
        days = month.design.access_log_days
        lines.add(STORAGE)(
            "S3, access logs",
            held * month.kept(0, days),
            "GB-months",
            "storage_month",
            f"{_count(requests)} requests x {month.need.access_log_bytes:g} bytes, "
            f"kept {days} days",
        )


def _catalog(month: Month, lines: BillLines) -> None:
    design, need, images = month.design, month.need, month.images
    writes = images * (need.write_units - (0 if design.near_duplicates else 5))
    reads = images * need.read_units + month.fallbacks
    told = f"{_count(images)} uploads x {writes / images if images else 0:g} units"
    if design.capacity == "on-demand":
        lines.add(CATALOG)("DynamoDB, writes", writes, "units", "write_unit", told)
        lines.add(CATALOG)(
            "DynamoDB, reads",
            reads,
            "units",
            "read_unit",
            f"{_count(images)} uploads x {need.read_units:g}, {_count(month.fallbacks)} views",
        )
    else:
        for name, units, at in (
            ("writes", writes, "write_capacity_hour"),
            ("reads", reads, "read_capacity_hour"),
        ):
            held = units / need.month_days / 86_400 / need.provisioned_use
            lines.add(CATALOG)(
                f"DynamoDB, provisioned {name}",
                held * need.month_hours,
                "unit hours",
                at,
                f"{held:,.0f} units a second, {need.provisioned_use:g} used, "
                f"x {need.month_hours:g} h",
            )
    size = images * need.record_bytes / GIGABYTE
    aged = f"{size:,.0f} GB a month x {month.kept(0):.3f} months"
    lines.add(CATALOG)("DynamoDB, storage", size * month.kept(0), "GB-months", "table_month", aged)
    if design.recovery:
        lines.add(CATALOG)(
            "DynamoDB, recovery", size * month.kept(0), "GB-months", "recovery_month", aged
        )


def _events(month: Month, lines: BillLines) -> None:
    count, days = month.images * month.need.upload_events, month.design.archive_days
    lines.add(EVENTS)(
        "EventBridge, events",
        count,
        "events",
        "event",
        f"{_count(month.images)} uploads x {month.need.upload_events:g}",
    )
    if not days:
        return
    size = count * month.need.event_bytes / GIGABYTE
    told = f"{_count(count)} events x {month.need.event_bytes:g} bytes"
    lines.add(EVENTS)("EventBridge, archived", size, "GB", "archive_gigabyte", told)
    lines.add(EVENTS)(
        "EventBridge, archive",
        size * month.kept(0, days),
        "GB-months",
        "archive_month",
        f"{told}, kept {days} days",
    )


def _delivery(month: Month, lines: BillLines) -> None:
    design, need, views = month.design, month.need, month.views
    if not design.delivery:
        return
    size = views * month.view_bytes / GIGABYTE
    if design.flat_rate:
        check_plan(month)
        lines.add(DELIVERY)(
            "CloudFront, flat-rate plan Premium",
            1,
            "month",
            "flat_rate_month",
            f"{_count(views)} of {_count(FLAT_REQUESTS)} requests, "
            f"{size:,.0f} of {FLAT_GIGABYTES:,.0f} GB",
        )
    else:
        _edge_lines(month, lines, size)
    share = month.fetches / views if views else 0.0
    lines.add(DELIVERY)(
        "S3, fetched by the edge",
        month.fetches,
        "GET",
        "get_request",
        f"{_count(views)} views x {share:.3f} that the edge has not",
    )
    calls, gigabytes = month.fallbacks, month.delivery_gigabytes
    told = f"{_count(calls)} views whose file was dropped for its JPEG"
    lines.add(COMPUTE)("Lambda, calls of delivery", calls, "calls", "invocation", told)
    lines.add(COMPUTE)(
        "Lambda, delivery",
        calls * need.delivery_seconds * gigabytes,
        "GB-s",
        month.lambda_price,
        f"{told} x {need.delivery_seconds:g} s x {gigabytes:.4f} GB",
    )
    _starts(month, lines, calls + month.images * month.lazy_files)
    if design.cache_gigabytes:
        lines.add(DELIVERY)(
            "Valkey, storage",
            design.cache_gigabytes * need.month_hours,
            "GB hours",
            "cache_hour",
            f"{design.cache_gigabytes} GB x {need.month_hours:g} h: full",
        )
        units = calls * month.view_bytes / 1000
        lines.add(DELIVERY)(
            "Valkey, requests",
            units,
            "ECPU",
            "cache_unit",
            f"{told} x {month.view_bytes / 1000:.0f} kB",
        )


def _edge_lines(month: Month, lines: BillLines, size: float) -> None:
    need, views = month.need, month.views
    europe, elsewhere = need.viewers_europe, need.viewers_elsewhere
    america = 1 - europe - elsewhere
    if month.design.price_class == "PriceClass_100":
        america, elsewhere = america + elsewhere, 0.0
    told = f"{_count(views)} views x {month.view_bytes:,.0f} bytes"
    # Price tiers apply to each part of the world separately: each begins with the most expensive
    # tier.
    for name, share, at in (
        ("North America", america, "transfer_gigabyte"),
        ("Europe", europe, "transfer_gigabyte"),
        ("elsewhere", elsewhere, "transfer_gigabyte_asia"),
    ):
        lines.used.pop(at, None)
        lines.add(DELIVERY)(f"CloudFront, to {name}", size * share, "GB", at, f"{told} x {share:g}")
    lines.add(DELIVERY)(
        "CloudFront, requests",
        views * america,
        "requests",
        "edge_request",
        f"{_count(views)} views x {america:g}",
    )
    lines.add(DELIVERY)(
        "CloudFront, requests elsewhere",
        views * (1 - america),
        "requests",
        "edge_request_elsewhere",
        f"{_count(views)} views x {1 - america:g}",
    )
    lines.add(DELIVERY)(
        "CloudFront Functions", views, "runs", "edge_function", f"{_count(views)} views"
    )


def check_plan(month: Month) -> None:
    """Check that a flat-rate plan covers the load.

    Raises:
        InputError: ``input_plan``: it does not.
    """
    size = month.views * month.view_bytes / GIGABYTE
    if month.views > FLAT_REQUESTS or size > FLAT_GIGABYTES:
        raise InputError(
            f"no flat-rate plan takes {_count(month.views)} requests and {size:,.0f} GB a month: "
            f"the largest is for {_count(FLAT_REQUESTS)} and {FLAT_GIGABYTES:,.0f} GB",
            code="input_plan",
        )


def _starts(month: Month, lines: BillLines, calls: float) -> None:
    """The cost of cold starts of the delivery function: INIT, or snapshots instead."""
    need, gigabytes = month.need, month.delivery_gigabytes
    cold = calls * need.cold_share
    told = f"{_count(calls)} calls x {need.cold_share:g} cold"
    if not month.design.snap_start:
        lines.add(COMPUTE)(
            "Lambda, INIT of delivery",
            cold * month.init_seconds * gigabytes,
            "GB-s",
            month.lambda_price,
            f"{told} x {month.init_seconds:g} s x {gigabytes:.4f} GB",
        )
        return
    lines.add(COMPUTE)(
        "Lambda SnapStart, kept",
        need.month_hours * 3600 * gigabytes,
        "GB-s",
        "snapshot_second",
        f"{need.month_hours:g} h x {gigabytes:.4f} GB, one version",
    )
    lines.add(COMPUTE)(
        "Lambda SnapStart, restored",
        cold * gigabytes,
        "GB restored",
        "snapshot_restore",
        f"{told} x {gigabytes:.4f} GB",
    )


def _machines(month: Month, lines: BillLines) -> None:
    design, need = month.design, month.need
    at = "vcpu_hour" if design.machines == "arm64" else "vcpu_hour_x86"
    hours = design.baseline_vcpus * need.month_hours
    lines.add(MACHINES)(
        "EC2, baseline",
        hours,
        "vCPU hours",
        at,
        f"{design.baseline_vcpus} vCPU x {need.month_hours:g} h",
    )
    if design.private_network:
        count = ZONE_ENDPOINTS * design.zones
        lines.add(MACHINES)(
            "VPC, endpoints",
            count * need.month_hours,
            "hours",
            "endpoint_hour",
            f"{ZONE_ENDPOINTS} endpoints x {design.zones} zones x {need.month_hours:g} h",
        )
    videos = month.traffic.videos_per_day * need.month_days
    if not videos:
        return
    jobs = videos * need.video_vcpu_seconds / 3600
    told = f"{_count(videos)} videos x {need.video_vcpu_seconds:g} vCPU-s / 3,600"
    lines.plain(MACHINES)(
        "EC2 Spot, jobs",
        jobs * design.spot,
        "vCPU hours",
        known(month.price, at) * month.price.spot_share,
        f"{told} x {design.spot:g}",
    )
    lines.add(MACHINES)(
        "EC2, jobs on demand",
        jobs * (1 - design.spot),
        "vCPU hours",
        at,
        f"{told} x {1 - design.spot:g}",
    )
    lines.add(MACHINES)(
        "Step Functions, videos",
        videos * need.transitions,
        "states",
        "transition",
        f"{_count(videos)} videos x {need.transitions}",
    )
    lines.add(MACHINES)(
        "S3, files of videos",
        videos * need.video_files,
        "PUT",
        "put_request",
        f"{_count(videos)} videos x {need.video_files:g}",
    )


def _escalation(month: Month, lines: BillLines) -> None:
    design, need, images = month.design, month.need, month.images
    add = lines.add(ESCALATION)
    asked = images * design.moderated
    told = f"{_count(images)} uploads x {design.moderated:g}"
    add("Rekognition, DetectModerationLabels", asked, "pictures", "rekognition", told)
    if not design.one_decode:
        states = images * design.workflow * need.naive_transitions
        told = f"{_count(images)} uploads x {design.workflow:g} x {need.naive_transitions:g} states"
        add("Step Functions", states, "states", "transition", told)
        seconds = states * need.stage_seconds
        told = f"{_count(states)} states x {need.stage_seconds:g} s x {need.stage_gigabytes:g} GB"
        add("Lambda, calls of stages", states, "calls", "invocation", f"{_count(states)} states")
        add("Lambda, stages", seconds * need.stage_gigabytes, "GB-s", month.lambda_price, told)
        return
    if 0 < design.moderated < 1:
        tiers(lines, images, need, month.lambda_price)
    runs = Escalated(
        uploads=images, share=design.workflow, reviewed=need.reviewed_share, endpoints=0
    )
    escalated(lines, MODERATE, runs, need, month.lambda_price)


def _watching(month: Month, lines: BillLines) -> None:
    design, need, images = month.design, month.need, month.images
    size = images * need.log_bytes / GIGABYTE
    told = f"{_count(images)} uploads x {need.log_bytes:g} bytes"
    lines.add(WATCHING)("Logs, written", size, "GB", "log_gigabyte", told)
    kept = month.kept(0, design.log_retention_days)
    lines.add(WATCHING)(
        "Logs, kept",
        size * kept * 0.15,
        "GB-months",
        "log_month",
        f"{told}, kept {kept:.3f} months, compressed to 0.15",
    )
    traced = images * design.trace_percent / 100
    spans = f"{_count(images)} uploads x {design.trace_percent:g} % x {need.spans:g} spans"
    lines.add(WATCHING)(
        "Traces, spans",
        traced * need.spans * need.span_bytes / GIGABYTE,
        "GB",
        "span_gigabyte",
        f"{spans} x {need.span_bytes:g} bytes",
    )
    ledger = f"{_count(images)} uploads x {need.ledger_writes:g}"
    lines.add(WATCHING)(
        "Ledger, writes", images * need.ledger_writes, "units", "write_unit", ledger
    )
    lines.add(WATCHING)(
        "Ledger, Lambda",
        images * need.ledger_seconds * need.outbox_gigabytes,
        "GB-s",
        month.lambda_price,
        f"{_count(images)} uploads x {need.ledger_seconds:g} s x {need.outbox_gigabytes:g} GB",
    )
    if design.observed:
        lines.add(WATCHING)("Metrics", need.metrics, "metrics", "metric_month", "docs/metrics.md")
        lines.add(WATCHING)(
            "Alarms", need.alarms, "alarms", "alarm_month", "pulumi/stack/alarms.py"
        )
        lines.add(WATCHING)(
            "Dashboard", 1, "dashboards", "dashboard_month", "pulumi/stack/dashboard.py"
        )


def _commitments(month: Month, lines: BillLines) -> None:
    """The savings of plans: lines with a negative price, for everything that the plans may
    cover."""
    design, price = month.design, month.price
    if design.compute_plan:
        off = {"year": price.lambda_plan_year, "three": price.lambda_plan_three}[
            design.compute_plan
        ]
        duration = sum(
            one.usd for one in lines.found if one.unit == "GB-s" and "SnapStart" not in one.name
        )
        lines.plain(COMMITMENTS)(PLAN_LAMBDA, duration, "USD of duration", -off, "all GB-seconds")
        off = {"year": price.machine_plan_year, "three": price.machine_plan_three}[
            design.compute_plan
        ]
        managed = sum(one.usd for one in lines.found if one.name == "Lambda, machines of ingest")
        lines.plain(COMMITMENTS)(
            f"{PLAN_LAMBDA} on machines",
            managed,
            "USD of machines",
            -off,
            "machines of ingest",
        )
        machines = sum(
            one.usd for one in lines.found if one.name in ("EC2, baseline", "EC2, jobs on demand")
        )
        lines.plain(COMMITMENTS)(
            "Compute Savings Plan, EC2",
            machines,
            "USD of machines",
            -off,
            "machines on demand",
        )
    if design.edge_plan:
        edge = ("CloudFront, to ", "CloudFront, requests")
        lines.plain(COMMITMENTS)(
            "CloudFront Security Savings Bundle",
            sum(one.usd for one in lines.found if one.name.startswith(edge)),
            "USD of transfer and requests",
            -price.edge_plan,
            "no edge functions, no flat-rate plan",
        )
    if design.table_plan and design.capacity == "on-demand":
        units = sum(
            one.usd for one in lines.found if one.name in ("DynamoDB, writes", "DynamoDB, reads")
        )
        lines.plain(COMMITMENTS)(
            "Database Savings Plan",
            units,
            "USD of units",
            -price.table_plan,
            "reads and writes on demand",
        )
