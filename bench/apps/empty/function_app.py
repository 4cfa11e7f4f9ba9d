"""The floor: an async function that does nothing, at the address that the gate has."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
ANSWER = b'{"predictions": [0.25, 0.75], "model": "fraud-3"}'


@app.route(route="endpoints/{name}/score")
async def score(req: func.HttpRequest) -> func.HttpResponse:
    del req
    return func.HttpResponse(ANSWER, mimetype="application/json")
