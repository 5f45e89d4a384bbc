"""Answer images over HTTP with the predictions of a run.

pip install fastapi uvicorn
python examples/serve.py ckpts/drive-1 --port 8000
curl --data-binary @frame.jpg http://127.0.0.1:8000/predict
curl --data-binary @frame.jpg "http://127.0.0.1:8000/predict?altitude=12"    # a side column
"""

import argparse
import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

import jaxreg
from jaxreg.errors import InputError

FORMS = ("multipart/", "application/json")  # have the image inside
MOST_BYTES, MOST_CLIENTS = 20_000_000, 64  # of an image; at a time


def refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status)


def make_app(predictor: jaxreg.Predictor, threads: int = 2) -> FastAPI:
    """The server; a few threads keep the network busy while others read images."""
    app, pool = FastAPI(), ThreadPoolExecutor(threads)
    intervals = predictor.run.summary.get("intervals")  # None for a run without folds
    level = intervals["level"] if intervals else None

    @app.get("/health")
    async def health() -> dict[str, object]:
        return {"run": predictor.run.path.name, "targets": predictor.targets, "interval": level}

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        if request.headers.get("content-type", "").lower().startswith(FORMS):
            return refused(415, "send the bytes of one image: curl --data-binary @frame.jpg URL")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return refused(413, f"more than {MOST_BYTES} bytes")
        side = dict(request.query_params) or None
        call = partial(predictor, bytes(body), interval=level, side=side)
        try:
            found = await asyncio.get_running_loop().run_in_executor(pool, call)
        except InputError as error:
            return refused(422, str(error))
        return JSONResponse({"value": found} if level is None else found._asdict())

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="the folder or the bundle of a run")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers other machines too")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    with jaxreg.Predictor(given.run) as predictor:
        # more clients at a time get the answer 503: each may hold MOST_BYTES
        uvicorn.run(
            make_app(predictor), host=given.host, port=given.port, limit_concurrency=MOST_CLIENTS
        )
