"""The composition root: it builds services from the settings. Only this module chooses adapters.

Entry points and the local stack call it explicitly, once a process. Nothing runs at import, and no
client is made before its first use. The image engine is imported only for ingest, so that commands
that only read start without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

from worker.domain.asset import UploadRoute
from worker.domain.errors import ConfigurationError, Problem, SettingsError
from worker.ports import (
    Cache,
    Catalog,
    Executions,
    Jobs,
    Labeller,
    Ledger,
    Moderator,
    ObjectStore,
    Queue,
    Secrets,
    UploadStore,
)
from worker.settings import OPENNSFW, DeletedOriginals, Settings
from worker.subprocesses import sandbox

if TYPE_CHECKING:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.dynamodb.request_rate import RequestRate
    from worker.adapters.aws.edge_tickets import EdgeTickets
    from worker.recipes import DeploymentRecipes
    from worker.services.access import Access
    from worker.services.breaker import Breaker
    from worker.services.deliver import Deliver
    from worker.services.erase import Eraser
    from worker.services.finalize import Finalizer
    from worker.services.ingest import Ingest
    from worker.services.invalidate import Invalidate
    from worker.services.label import LabelStage
    from worker.services.ledger import Bookkeeper
    from worker.services.moderate import ModerateStage
    from worker.services.outbox import Outbox
    from worker.services.review import Reviews
    from worker.services.upgrade import Upgrades
    from worker.services.upload import Uploads
    from worker.services.webhooks import Webhooks
    from worker.services.workflow_runs import WorkflowRuns
    from worker.subprocesses.sandbox import FirstTry, SandboxLimits


# No slots: cached_property stores its value in __dict__.
@dataclass(frozen=True, kw_only=True)
class Application:
    """The ports of one process, and the services built on them."""

    settings: Settings
    store: ObjectStore
    catalog: Catalog
    queue: Queue
    ledger: Ledger | None = None
    """None in tests without a ledger."""
    upload_store: UploadStore | None = None
    """None in processes that accept no uploads."""
    secrets: Secrets | None = None
    """None in processes that send no webhooks."""
    labeller: Labeller | None = None
    """None in processes that do not label pictures."""
    workflows: Executions | None = None
    """None if the settings name no workflows: then this process cannot start a run."""
    rekognition: Moderator | None = None
    """None in processes that do not call Rekognition."""

    @cached_property
    def recipes(self) -> DeploymentRecipes:
        """The recipes that uploads may choose."""
        from worker.recipes import DeploymentRecipes

        return DeploymentRecipes(self.settings.recipe, self.settings.recipes)

    @cached_property
    def breaker(self) -> Breaker:
        """The breaker that pauses optional work beyond the daily limit of cost."""
        from worker.services.breaker import Breaker

        return Breaker(ledger=self.ledger, limit=self.settings.daily_limit)

    @cached_property
    def cache(self) -> Cache:
        """Redis or Valkey if the settings name one, otherwise the memory of this process.

        Raises:
            ConfigurationError: the setting is not the URL of a Redis.
        """
        from worker.adapters.cache import MemoryCache, RedisCache
        from worker.adapters.tracing import traced

        url, cache = self.settings.redis_url, self.settings.redis_iam
        if url is None:
            return MemoryCache()
        if cache is None:
            return traced(RedisCache(url), "cache")
        from urllib.parse import urlsplit

        from worker.adapters.aws.elasticache import CacheCredentials

        user = urlsplit(url).username
        if not user:
            raise ConfigurationError("SAFELIGHT_REDIS_URL has no user, who is to sign in by IAM")
        credentials = CacheCredentials(cache=cache, user=user)
        return traced(RedisCache(url, credentials=credentials), "cache")

    def deliver(self) -> Deliver:
        """The service that answers requests for files that are not in the delivery bucket.

        Decoders are imported when the first file is made.
        """
        from worker.services.deliver import Deliver
        from worker.services.first_view import SANDBOX_SECONDS, FirstView
        from worker.services.hot_files import HotFiles
        from worker.services.recipe_store import RecipeStore

        settings, bucket = self.settings, self.settings.delivery_bucket
        first_view = FirstView(
            store=self.store,
            catalog=self.catalog,
            recipes=RecipeStore(self.store, bucket),
            bucket=bucket,
            heavy_bytes=settings.heavy_bytes,
            heavy_pixels=settings.heavy_pixels,
            limits=replace(
                self._sandbox, cpu_seconds=SANDBOX_SECONDS, wall_seconds=SANDBOX_SECONDS
            ),
            first=self._first,
        )
        files = HotFiles(store=self.store, bucket=bucket, cache=self.cache)
        return Deliver(
            store=self.store,
            catalog=self.catalog,
            bucket=bucket,
            first_view=first_view,
            files=files,
        )

    @cached_property
    def runs(self) -> WorkflowRuns:
        """The service that starts and reads runs of workflows."""
        from worker.services.workflow_runs import RunPolicy, WorkflowRuns

        settings = self.settings
        policy = RunPolicy(
            delivery_bucket=settings.delivery_bucket,
            video_seconds=settings.video_seconds,
            video_array_bytes=settings.video_array_bytes,
            recipes=self.recipes,
        )
        return WorkflowRuns(catalog=self.catalog, policy=policy, workflows=self.workflows)

    def follow(self, asset: str, version: str) -> None:
        """Handle an event of an asset again after the workflow function has failed on it: start the
        asset's workflow, and apply the decisions of people."""
        self.runs.redrive(asset, version)
        self.reviews.follow(asset)

    @cached_property
    def heavy(self) -> Finalizer:
        """The service that finishes heavy uploads, made at its first use.

        Raises:
            RecipeError, InputError: the recipe that the settings name cannot be used.
        """
        from worker.services.finalize import FinalizePolicy, Finalizer

        settings = self.settings
        policy = FinalizePolicy(
            delivery_bucket=settings.delivery_bucket,
            quarantine_bucket=settings.quarantine_bucket,
            recipes=self.recipes,
        )
        return Finalizer(
            store=self.store,
            catalog=self.catalog,
            policy=policy,
        )

    @cached_property
    def ingest(self) -> Ingest:
        """The ingest service, made at its first use.

        Raises:
            RecipeError, InputError: the recipe that the settings name cannot be used.
        """
        from worker.services.ingest import Ingest, Policy
        from worker.services.recipe_store import RecipeStore

        settings = self.settings
        policy = Policy(
            recipe=self.recipes.load(""),
            choose=self.recipes.find,
            intake_bucket=settings.intake_bucket,
            delivery_bucket=settings.delivery_bucket,
            quarantine_bucket=settings.quarantine_bucket,
            heavy_bytes=settings.heavy_bytes,
            heavy_pixels=settings.heavy_pixels,
            sandbox=self._sandbox,
            upload_threads=settings.upload_threads,
            video=settings.video,
            video_bytes=settings.video_bytes,
        )
        erases = settings.deleted_originals is DeletedOriginals.ERASE
        if settings.jail_every_picture:
            sandbox.decoders().start()
        return Ingest(
            store=self.store,
            catalog=self.catalog,
            policy=policy,
            first=self._first,
            erase=self.eraser().erase if erases else None,
            remember=RecipeStore(self.store, settings.delivery_bucket).keep,
            classifier=self.classifier,
            put_off=self.breaker.stops,
        )

    @property
    def _first(self) -> FirstTry:
        """The runner of the first attempt at a picture."""
        return sandbox.run_first if self.settings.jail_every_picture else sandbox.here

    @property
    def _sandbox(self) -> SandboxLimits:
        from worker.subprocesses.sandbox import SandboxLimits

        return SandboxLimits(
            cpu_seconds=self.settings.sandbox_seconds,
            wall_seconds=self.settings.sandbox_seconds,
            memory_bytes=self.settings.sandbox_megabytes * 1_000_000,
        )

    @cached_property
    def uploads(self) -> Uploads:
        """The service that begins and completes uploads."""
        from worker.services.upload import Uploads

        assert self.upload_store is not None
        return Uploads(
            catalog=self.catalog,
            store=self.store,
            uploads=self.upload_store,
            settings=self.settings,
            recipes=self.recipes,
        )

    @cached_property
    def label(self) -> LabelStage:
        """The service that asks a model for labels of a picture."""
        from worker.services.label import LabelStage
        from worker.services.recipe_store import RecipeStore

        assert self.labeller is not None
        return LabelStage(
            catalog=self.catalog,
            store=self.store,
            bucket=self.settings.delivery_bucket,
            recipe=RecipeStore(self.store, self.settings.delivery_bucket).load,
            labeller=self.labeller,
            queue=self.queue,
            queue_url=self.settings.queue_url,
            first=self._first,
            limits=self._sandbox,
        )

    @cached_property
    def access(self) -> Access:
        """The service that holds and publishes assets."""
        from worker.services.access import Access

        return Access(
            catalog=self.catalog,
            store=self.store,
            bucket=self.settings.delivery_bucket,
            quarantine=self.settings.quarantine_bucket,
        )

    @cached_property
    def reviews(self) -> Reviews:
        """The service that opens reviews and applies decisions."""
        from worker.services.review import Reviews

        return Reviews(catalog=self.catalog, access=self.access, workflows=self.workflows)

    @cached_property
    def classifier(self) -> Moderator | None:
        """The classifier that the settings name. It loads its model with the first picture.

        Raises:
            SettingsError: there is no such classifier.
        """
        name = self.settings.classifier
        if name is None:
            return None
        if name == OPENNSFW:
            from worker.adapters.opennsfw import OpenNsfwClassifier

            return OpenNsfwClassifier()
        from pkgutil import resolve_name

        try:
            found: Moderator = resolve_name(name)()
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            problem = Problem("SAFELIGHT_CLASSIFIER", f"gives no classifier: {error!r}")
            raise SettingsError("settings", (problem,)) from error
        return found

    @cached_property
    def moderate(self) -> ModerateStage:
        """The workflow stage that asks moderators.

        Raises:
            ConfigurationError: this process has no moderator.
        """
        from worker.services.moderate import ModerateStage
        from worker.services.recipe_store import RecipeStore

        if self.rekognition is None:
            raise ConfigurationError("this process has no moderator")
        bucket = self.settings.delivery_bucket
        return ModerateStage(
            catalog=self.catalog,
            store=self.store,
            access=self.access,
            bucket=bucket,
            recipe=RecipeStore(self.store, bucket).load,
            rekognition=self.rekognition,
            classifier=self.classifier,
            first=self._first,
            limits=self._sandbox,
        )

    @cached_property
    def upgrades(self) -> Upgrades:
        """The service that encodes popular files again at a higher effort."""
        from worker import prices
        from worker.services.recipe_store import RecipeStore
        from worker.services.upgrade import Upgrades

        price, need = prices.load()
        return Upgrades(
            catalog=self.catalog,
            store=self.store,
            bucket=self.settings.delivery_bucket,
            recipes=RecipeStore(self.store, self.settings.delivery_bucket),
            prices=price,
            need=need,
        )

    @cached_property
    def webhooks(self) -> Webhooks:
        """The service that sends events to the endpoints that the settings name."""
        from worker.adapters.tracing import traced
        from worker.adapters.webhooks import HttpWebhookSender
        from worker.services.webhooks import Webhooks

        assert self.secrets is not None
        return Webhooks(
            endpoints={one.name: one for one in self.settings.webhooks},
            queue=self.queue,
            sender=traced(HttpWebhookSender(allowed=self.settings.webhook_networks), "sender"),
            secrets=self.secrets,
            secrets_prefix=self.settings.webhook_secrets,
        )

    def eraser(self, jobs: Jobs | None = None, say: Callable[[str], None] | None = None) -> Eraser:
        """The service that erases assets; see its class."""
        from worker.services.erase import Eraser

        return Eraser(
            catalog=self.catalog,
            store=self.store,
            settings=self.settings,
            jobs=jobs,
            say=say or (lambda _: None),
        )


def assemble(settings: Settings, clients: AwsClients | None = None) -> Application:
    """Build everything on AWS, or on the emulator at ``AWS_ENDPOINT_URL``.

    Args:
        settings: the settings of the process.
        clients: AWS clients; None makes them from the environment.
    """
    from worker.adapters import tracing
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
    from worker.adapters.aws.dynamodb.ledger import DynamoLedger
    from worker.adapters.aws.parameters import ParameterSecrets
    from worker.adapters.aws.rekognition import RekognitionLabeller, RekognitionModerator
    from worker.adapters.aws.s3 import S3ObjectStore
    from worker.adapters.aws.sqs import SqsQueue
    from worker.adapters.aws.uploads import S3UploadStore
    from worker.adapters.tracing import traced

    clients = clients or AwsClients()
    tracing.start(settings.trace_to, settings.trace_percent, clients)
    workflows = _workflows(dict(settings.workflows), clients)
    labeller = RekognitionLabeller(clients, take=_tokens(settings, clients))
    moderator = RekognitionModerator(clients, take=_tokens(settings, clients))
    return Application(
        settings=settings,
        store=traced(S3ObjectStore(clients), "store"),
        catalog=traced(DynamoCatalog(clients.dynamodb, settings.table), "catalog"),
        queue=traced(SqsQueue(clients), "queue", "producer"),
        ledger=traced(DynamoLedger(clients.dynamodb, settings.table), "ledger"),
        secrets=traced(ParameterSecrets(clients), "secrets"),
        labeller=traced(labeller, "labeller"),
        upload_store=traced(
            S3UploadStore(
                clients, edge=_edge_tickets(settings), storage_class=settings.upload_class
            ),
            "uploads",
        ),
        workflows=None if workflows is None else traced(workflows, "workflows"),
        rekognition=traced(moderator, "moderator"),
    )


def invalidation(settings: Settings, clients: AwsClients | None = None) -> Invalidate:
    """The service that sends invalidations to the distribution that the settings name."""
    from worker.adapters import tracing
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.cloudfront import CloudFrontCaches
    from worker.services.invalidate import Invalidate

    if settings.distribution is None:
        said = "is not set; invalidations need it"
        raise SettingsError("settings", (Problem("SAFELIGHT_DISTRIBUTION", said),))
    clients = clients or AwsClients()
    tracing.start(settings.trace_to, settings.trace_percent, clients)
    caches = CloudFrontCaches(clients, settings.distribution)
    return Invalidate(edges=tracing.traced(caches, "edges"))


def _tokens(settings: Settings, clients: AwsClients) -> Callable[[str], None]:
    """The rate limiter of requests to Rekognition. Its client is made at the first request."""

    @cache
    def rate() -> RequestRate:
        from worker.adapters.aws.dynamodb.request_rate import RequestRate

        return RequestRate(clients.dynamodb, settings.table, per_second=settings.rekognition_rate)

    return lambda operation: rate().take(operation)


def outbox(settings: Settings, clients: AwsClients | None = None) -> Outbox:
    """The service that sends an event for each change of the catalog.

    Raises:
        SettingsError: the settings name no dead-letter queue for invalid changes.
    """
    from worker.adapters import tracing
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.dynamodb.stream import events_of
    from worker.adapters.aws.eventbridge import EventBridgeEvents
    from worker.adapters.aws.sqs import SqsQueue
    from worker.services.outbox import Outbox

    if settings.outbox_dlq_url is None:
        said = "is not set; the outbox needs it"
        raise SettingsError("settings", (Problem("SAFELIGHT_OUTBOX_DLQ_URL", said),))
    clients = clients or AwsClients()
    tracing.start(settings.trace_to, settings.trace_percent, clients)
    return Outbox(
        read=events_of,
        events=tracing.traced(EventBridgeEvents(clients, settings.event_bus), "events", "producer"),
        queue=tracing.traced(SqsQueue(clients), "queue", "producer"),
        dead_letters=settings.outbox_dlq_url,
    )


def bookkeeper(settings: Settings, clients: AwsClients | None = None) -> Bookkeeper:
    """The service that counts work from changes of the catalog."""
    from worker import prices
    from worker.adapters import tracing
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
    from worker.adapters.aws.dynamodb.ledger import THREADS, DynamoLedger
    from worker.adapters.aws.dynamodb.stream import change_of
    from worker.services.ledger import Bookkeeper

    clients = clients or AwsClients(connections=THREADS)
    tracing.start(settings.trace_to, settings.trace_percent, clients)
    price, need = prices.load()
    return Bookkeeper(
        read=change_of,
        ledger=tracing.traced(DynamoLedger(clients.dynamodb, settings.table), "ledger"),
        catalog=tracing.traced(DynamoCatalog(clients.dynamodb, settings.table), "catalog"),
        prices=price,
        need=need,
        limit=settings.daily_limit,
    )


def _edge_tickets(settings: Settings) -> EdgeTickets | None:
    from worker.adapters.aws.edge_tickets import EdgeTickets

    if UploadRoute.DISTRIBUTION not in settings.upload_routes:
        return None
    given = {"DELIVERY_URL": settings.delivery_url, "UPLOAD_KEY": settings.upload_key}
    missing = [name for name, text in given.items() if not text]
    if missing:
        said = "is not set; uploads through the distribution need it"
        problems = tuple(Problem(f"SAFELIGHT_{name}", said) for name in missing)
        raise SettingsError("settings", problems)
    return EdgeTickets(url=settings.delivery_url or "", key=settings.upload_key or "")


def _workflows(machines: Mapping[str, str], clients: AwsClients) -> Executions | None:
    if not machines:
        return None
    from worker.adapters.aws.stepfunctions import StepFunctionsWorkflows

    return StepFunctionsWorkflows(clients, machines)
