"""What happened on the way to an answer. Each stage appends; explanations and metadata read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from serving import spans
from serving.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage that ran; `began` is of the performance counter."""

    stage: str
    began: float
    ms: float
    noted: dict[str, Any] = field(default_factory=dict)


class Trace:
    """The steps and the fallbacks of one request. Changes while the request runs."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.fallbacks: list[str] = []
        self._noted: dict[str, Any] = {}
        spans.has_stages(self.steps, self.fallbacks)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and keep what it notes."""
        started = time.perf_counter()
        self._noted = {}
        try:
            yield
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
            self.steps.append(Step(stage=name, began=started, ms=elapsed_ms, noted=self._noted))

    def note(self, **evidence: Any) -> None:
        """Keep something about the stage at hand."""
        self._noted.update(evidence)

    def fall_back(self, stage: str, dependency: str) -> None:
        """A stage does without a dependency."""
        self._fell_back(f"{stage}:{dependency}_unavailable")

    def fall_back_to(self, stage: str, substitute: str) -> None:
        """A stage found nothing of what it looks for, and gives something else."""
        self._fell_back(f"{stage}:{substitute}")

    def _fell_back(self, name: str) -> None:
        if name not in self.fallbacks:
            self.fallbacks.append(name)

    def count(self, metrics: Metrics) -> None:
        """Add the time of each stage, and each fallback, to the measurements."""
        for step in self.steps:
            metrics.stage_seconds.labels(step.stage).observe(step.ms / 1000)
        for fallback in self.fallbacks:
            metrics.fallbacks.labels(fallback).inc()

    def stages_ms(self) -> dict[str, float]:
        """The time of each stage."""
        return {step.stage: round(step.ms, 3) for step in self.steps}
