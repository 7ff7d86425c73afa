"""What the worker processes of one service share, in an owner-only folder."""

from lossd.store._table import Region as Region
from lossd.store.regions import Regions as Regions
from lossd.store.statistics import Durations as Durations
from lossd.store.statistics import ModelStatistics as ModelStatistics
from lossd.store.statistics import Statistics as Statistics
