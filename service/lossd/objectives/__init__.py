"""Several losses as one: terms, their coefficients step by step, one combined gradient."""

from lossd.objectives.controllers import CONTROLLERS as CONTROLLERS
from lossd.objectives.controllers import describe_controller as describe_controller
from lossd.objectives.schedules import SCHEDULES as SCHEDULES
from lossd.objectives.schedules import Schedule as Schedule
from lossd.objectives.schedules import curve as curve
from lossd.objectives.schedules import describe as describe
