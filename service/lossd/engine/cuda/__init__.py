"""Calls on a CUDA device: fused kernels in Triton, and the way there and back.

What needs CUDA itself is in `lane`; all else is tested without it, the kernels by an interpreter.
"""

from lossd.engine.cuda.kernels import missing_for_kernels as missing_for_kernels
from lossd.engine.cuda.lane import STAGING_BYTES as STAGING_BYTES
from lossd.engine.cuda.lane import Lane as Lane
from lossd.engine.cuda.lane import open_lane as open_lane
from lossd.engine.cuda.path import compute_on_lane as compute_on_lane
from lossd.engine.cuda.warm_up import calls_to_warm_up as calls_to_warm_up
