"""`/v2`: the Open Inference Protocol, for the clients of Triton and KServe."""

from fastapi import APIRouter

from lossd.api.oip import models, regions
from lossd.api.oip.infer import Inferences as Inferences

router = APIRouter(tags=["Open Inference Protocol"])
router.include_router(models.router)
router.include_router(regions.router)
