"""`/v2`: the Open Inference Protocol, for the clients of Triton and KServe."""

from fastapi import APIRouter

from lossd.api.oip import infer, models, regions

router = APIRouter(tags=["Open Inference Protocol"])
router.include_router(infer.router)  # first, because routes are matched in order
router.include_router(models.router)
router.include_router(regions.router)
