"""A FastAPI route that reads nothing and computes nothing: the floor of the framework."""

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/")
async def empty() -> dict[str, str]:
    return {}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
