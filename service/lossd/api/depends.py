"""What routes are given: the parts of the service that the composition root made."""

from typing import Annotated

from fastapi import Depends, Request

from lossd.engine import Admission, Engine
from lossd.settings import Settings
from lossd.store import Regions, Statistics


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _admission(request: Request) -> Admission:
    admission: Admission = request.app.state.admission
    return admission


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _regions(request: Request) -> Regions:
    regions: Regions = request.app.state.regions
    return regions


def _statistics(request: Request) -> Statistics:
    statistics: Statistics = request.app.state.statistics
    return statistics


TheEngine = Annotated[Engine, Depends(_engine)]
TheAdmission = Annotated[Admission, Depends(_admission)]
TheSettings = Annotated[Settings, Depends(_settings)]
TheRegions = Annotated[Regions, Depends(_regions)]
TheStatistics = Annotated[Statistics, Depends(_statistics)]
