"""Several losses as one: what their coefficients are, step by step."""

from lossd.objectives.schedules import SCHEDULES as SCHEDULES
from lossd.objectives.schedules import Schedule as Schedule
from lossd.objectives.schedules import curve as curve
from lossd.objectives.schedules import describe as describe
