"""Run by KServe's own interpreter, in whose environment nothing of ours is: ``python kserve_client.py URL MODEL``.

Writes what its REST client gets, as JSON.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def ask(url: str, model: str) -> dict[str, object]:
    told: dict[str, object] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        told["live"] = await client.is_server_live(url)
        told["ready"] = await client.is_server_ready(url)
        told["model"] = await client.is_model_ready(url, model)
        told["other"] = await client.is_model_ready(url, "other")
        for name, binary in (("json", False), ("binary", True)):
            rows = InferInput("rows", [2, 2], "FP64")
            rows.set_data_from_numpy(np.array([[1.0, 0.0], [2.0, 0.0]]), binary_data=binary)
            parameters = {"binary_data_output": binary}
            request = InferRequest(model, [rows], request_id="7", parameters=parameters)
            answer = await client.infer(url, request, model_name=model)
            told[name] = [
                answer.id,
                answer.model_name,
                answer.outputs[0].datatype,
                answer.outputs[0].as_numpy().tolist(),
            ]
        try:
            await client.infer(url, {"inputs": []}, model_name=model)
        except Exception as error:
            told["error"] = str(error)
    return told


sys.stdout.write(json.dumps(asyncio.run(ask(*sys.argv[1:]))))
