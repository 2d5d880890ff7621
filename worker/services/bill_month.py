"""The amounts of a month: uploads, files, seconds and ages, computed from a design and a load."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.domain.bill import FULL_VCPU, Design, Traffic
from worker.prices import GIGABYTE, Assumptions, Prices
from worker.services.edge_fetches import files_fetched
from worker.services.tuning_curve import DurationCurve

MEGABYTE = 1e6
"""Bytes of a megabyte of an upload."""
SMALLEST = 128 * 1024
"""Bytes. A smaller object is neither monitored nor moved by Intelligent-Tiering, and not moved by
lifecycle rules; in IA and Glacier IR it is billed as one of this size (Amazon S3 User Guide,
"Managing storage costs with S3 Intelligent-Tiering", "Transitioning objects using Amazon S3
Lifecycle"; Amazon S3 pricing)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The amounts of a month that the lines of a bill use."""

    design: Design
    traffic: Traffic
    price: Prices
    need: Assumptions
    durations: DurationCurve | None = None

    @property
    def images(self) -> float:
        """Uploads."""
        return self.traffic.images_per_day * self.need.month_days

    @property
    def gigabytes_in(self) -> float:
        """Gigabytes of originals uploaded in the month."""
        return self.images * self.traffic.megabytes * MEGABYTE / GIGABYTE

    @property
    def small(self) -> bool:
        """Whether an original is too small for the cheaper storage classes."""
        return self.traffic.megabytes * MEGABYTE < SMALLEST

    @property
    def files(self) -> float:
        """Files made at upload."""
        if not self.design.one_decode:
            return self.need.naive_files
        second = {"": 0.0, "webp": self.need.second_files, "jxl": 3.0}[self.design.second_format]
        return 3.0 + (0.0 if self.design.lazy else second) + 3.0 * (self.design.avif == "all")

    @property
    def lazy_files(self) -> float:
        """Files of an upload that are made at their first view."""
        made = 0.0
        if self.design.lazy and self.design.second_format:
            made += self._viewed()
        return made + (self._viewed() if self.design.avif == "viewed" else 0.0)

    def _viewed(self) -> float:
        """Number of the three sizes that are viewed at least once."""
        views = self.traffic.views * self.need.modern_clients
        return files_fetched(views, self.need.view_skew)

    @property
    def file_share(self) -> float:
        """Bytes of the files of an upload, as a share of the original's bytes."""
        design, need = self.design, self.need
        if not design.one_decode:
            return need.jpeg_bytes + need.jxl_bytes + need.avif_bytes
        second = {"": 0.0, "webp": need.webp_bytes, "jxl": need.jxl_bytes}[design.second_format]
        part = self._viewed() / 3
        share = need.jpeg_bytes + second * (part if design.lazy else 1)
        return share + need.avif_bytes * {"": 0.0, "all": 1.0, "viewed": part}[design.avif]

    @property
    def seconds(self) -> float:
        """Seconds of Lambda for an upload."""
        return self.seconds_at(self.design.memory)

    def seconds_at(self, memory: int) -> float:
        """The same with another memory size in megabytes."""
        design, need, size = self.design, self.need, self.traffic.megabytes
        if not design.one_decode:
            each = need.naive_seconds_per_megabyte
        elif design.lazy or not design.second_format:
            each = need.jpeg_seconds_per_megabyte
        elif design.second_format == "jxl":
            each = need.jxl_seconds_per_megabyte
        else:
            each = need.seconds_per_megabyte
        if design.avif == "all":
            each += need.avif_seconds_per_megabyte
        slower = max(1.0, FULL_VCPU / memory)
        assumed = need.seconds_fixed + size * each * slower
        measured = self._measured
        if measured is None:
            return assumed
        # Scaled by the ratio of the assumed seconds of this upload to those of the measured photos.
        # A ratio stays above zero for photos of any size.
        worked = measured.photos.bytes / MEGABYTE * self._engine(measured.recipe) * slower
        return measured.at(memory).seconds * assumed / (need.seconds_fixed + worked)

    @property
    def machine_seconds(self) -> float:
        """Processor seconds of an upload on managed instances, where other calls use the processor
        while one waits. Without a measurement the waiting is counted too."""
        measured = self._measured
        point = measured.at(self.design.memory) if measured is not None else None
        if point is None or point.cpu_seconds is None:
            return self.seconds_at(FULL_VCPU)
        return self.seconds * point.cpu_seconds / point.seconds

    @property
    def _measured(self) -> DurationCurve | None:
        """Measured durations, if they apply to the design."""
        return self.durations if self.design.one_decode else None

    def _engine(self, recipe: str) -> float:
        """Engine seconds of a shipped recipe for a megabyte."""
        need = self.need
        return need.jxl_seconds_per_megabyte if recipe == "modern" else need.seconds_per_megabyte

    @property
    def init_seconds(self) -> float:
        """Seconds of the start of an instance."""
        measured = self.durations.at(self.design.memory).init_seconds if self.durations else None
        return self.need.init_seconds if measured is None else measured

    @property
    def delivery_gigabytes(self) -> float:
        """Memory of the delivery function. It has at least one vCPU, because a viewer waits."""
        return max(self.design.memory, FULL_VCPU) / 1024

    @property
    def lambda_price(self) -> str:
        """The name of the price of a gigabyte-second."""
        return "gigabyte_second" if self.design.architecture == "arm64" else "gigabyte_second_x86"

    @property
    def views(self) -> float:
        """Views of the month."""
        return self.images * self.traffic.views

    @property
    def fetches(self) -> float:
        """Files that the edge fetches in the month."""
        return self._fetches(self.need.modern_clients) + self._fetches(1 - self.need.modern_clients)

    def _fetches(self, clients: float) -> float:
        """The fetches for a share of the clients that gets separate files."""
        if self.traffic.misses is not None:
            return self.views * clients * self.traffic.misses
        need = self.need
        europe, elsewhere = need.viewers_europe, need.viewers_elsewhere
        parts = (1 - europe - elsewhere, europe, elsewhere)
        each = files_fetched(self.traffic.views * clients, need.view_skew, parts)
        return self.images * each

    @property
    def view_bytes(self) -> float:
        """Bytes of the mean view."""
        need, design = self.need, self.design
        new = {"": need.jpeg_view, "webp": need.webp_view, "jxl": need.jxl_view}[
            design.second_format
        ]
        if design.avif or not design.one_decode:
            new = need.avif_view
        return need.modern_clients * new + (1 - need.modern_clients) * need.jpeg_view

    @property
    def fallbacks(self) -> float:
        """Views of a file that was dropped because its JPEG is smaller: the edge calls the
        function, which returns the JPEG."""
        design = self.design
        if not design.one_decode or design.second_format != "webp" or design.lazy or design.avif:
            return 0.0
        missing = 1 - self.need.second_files / 3
        return self._fetches(self.need.modern_clients) * missing

    def kept(self, low: float, high: float = math.inf) -> float:
        """Months of storage, in the billed month, of one month's uploads while their age is between
        ``low`` and ``high`` days: 0.5 in the first month, 1.5 in the second if there is no end."""
        days = self.need.month_days
        begin, end = (self.traffic.month - 1) * days, self.traffic.month * days

        def younger(age: float) -> float:
            """The mean over the month of min(time so far, age), in days."""
            if age <= begin:
                return age
            top = min(age, end)
            rising = (top**2 - begin**2) / 2
            return (rising + (end - top) * top) / days

        return (younger(high) - younger(low)) / days if high > low else 0.0
