"""What Prometheus may ask of the service, each declared once."""

from importlib.metadata import version
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
)


class Metrics:
    """The instruments of one service; a registry of its own, so that two can live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.http_seconds = self._histogram(
            "freshet_http_seconds", "Time to answer", "method", "path", "status"
        )
        self.grpc_seconds = self._histogram(
            "freshet_grpc_seconds", "Time to answer a call", "method", "code"
        )
        self.stage_seconds = self._histogram("freshet_stage_seconds", "Time of a stage", "stage")
        self.dependency_seconds = self._histogram(
            "freshet_dependency_seconds",
            "Time of a call: ok, error, timeout",
            "dependency",
            "outcome",
        )
        self.dependency_skipped = self._counter(
            "freshet_dependency_skipped",
            "Calls that were not made: the breaker was open, or no time left",
            "dependency",
            "cause",
        )
        self.fallbacks = self._counter(
            "freshet_fallbacks", "Stages that fell back, as STAGE:WHAT_HAPPENED", "fallback"
        )
        self.errors = self._counter("freshet_errors", "Error answers", "code")
        self.breaker_open = self._gauge(
            "freshet_breaker_open", "1: calls are skipped", "dependency"
        )
        self.impressions = self._counter(
            "freshet_impressions",
            "Impressions: logged, dropped (the queue was full), retried (no word from Kafka)",
            "outcome",
        )
        self.shown = self._counter(
            "freshet_shown_items", "Items in logged impressions, by what put them there", "source"
        )
        self.impression_queue = self._gauge("freshet_impression_queue", "Waiting for the log")
        self.traces = self._counter(
            "freshet_traces",
            "Traces of answers: kept, or left out (too_many, full, changed, failed, erased)",
            "outcome",
        )
        self.feedback = self._counter(
            "freshet_feedback_events", "Feedback events", "action", "outcome"
        )
        self.kept_feedback = self._counter(
            "freshet_kept_feedback", "Events kept while Kafka was away", "outcome"
        )
        self.waiting_feedback = self._gauge("freshet_waiting_feedback", "Kept events not in Kafka")
        self.background_faults = self._counter(
            "freshet_background_faults", "Background work that failed and was begun again", "work"
        )
        self.hedges = self._counter(
            "freshet_hedges", "Calls that were made a second time: won, lost", "kind", "outcome"
        )
        self.cold_starts = self._counter("freshet_cold_starts", "Answers to unknown users")
        self.cache = self._counter(
            "freshet_cache", "Lookups of what was remembered", "cache", "outcome"
        )
        self.under_way = self._gauge("freshet_requests_under_way", "Lists that are being made")
        self.late_answers = self._counter("freshet_late_answers", "Answers after the deadline")
        self.unknown_items = self._counter(
            "freshet_unknown_items", "Found candidates that the catalogue doesn't know", "source"
        )
        self.catalog_items = self._gauge("freshet_catalog_items", "Items in the catalogue")
        self.catalog_refreshed = self._gauge(
            "freshet_catalog_refreshed_timestamp_seconds", "When the catalogue was last in step"
        )
        self.catalog_failures = self._counter(
            "freshet_catalog_refresh_failures", "Refreshes that failed"
        )
        self.experiments = self._gauge("freshet_experiments", "Experiments that are defined")
        self.experiments_refused = self._gauge(
            "freshet_experiments_refused",
            "1: the experiments file can't be used, what it said before holds",
        )
        self.reasoner_selected = self._counter(
            "freshet_reasoner_selected", "Requests that a rule selects for the model", "rule"
        )
        self.reasoner_left_out = self._counter(
            "freshet_reasoner_left_out", "Selected requests that the model isn't asked for", "why"
        )
        self.reasoner_asked = self._counter("freshet_reasoner_asked", "Calls of the model")
        self.reasoner_answered = self._counter("freshet_reasoner_answered", "Calls with an answer")
        self.reasoner_texts = self._counter("freshet_reasoner_texts", "Texts that may be shown")
        self.reasoner_refused = self._counter(
            "freshet_reasoner_refused", "Parts of answers that may not be shown", "why"
        )
        self.reasoner_tokens = self._counter(
            "freshet_reasoner_tokens", "Tokens as the endpoint counts them", "kind"
        )

        self.spans = self._counter(
            "freshet_spans", "Spans of traces: sent, failed, dropped (too many waited)", "outcome"
        )
        self.build = self._gauge("freshet_build_info", "1, of this version", "version", "python")
        self.build.labels(version("freshet"), python_version()).set(1)
        self.process = ProcessCollector(registry=self.registry)
        self.garbage = GCCollector(registry=self.registry)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, says: str, *labels: str) -> Histogram:
        return Histogram(name, says, labels, buckets=LATENCY_BUCKETS, registry=self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(name, says, labels, registry=self.registry)
