"""Checks of our own, beside those of schemathesis."""

import json
import uuid

import schemathesis

REGISTER = "/pushdeviceregistration/devices"


def text(value):
    return value.decode() if isinstance(value, bytes) else value


@schemathesis.check
def an_accepted_registration_has_a_body_only_if_it_is_tracked(ctx, response, case):
    """What OpenAPI can't say, and what is excused in api.toml for it."""
    path = case.operation.path
    if response.status_code != 202 or not path.endswith((REGISTER, REGISTER + "/batch")):
        return
    tracked = text(response.request.headers.get("x-ms-track-registration", ""))
    if tracked.lower() != "true":
        assert response.content == b"", "a body, although nothing is tracked"
        assert "content-type" not in response.headers
        return
    assert response.headers["content-type"] == ["application/json"]
    told = json.loads(response.content)
    batch = path.endswith("/batch")
    assert isinstance(told, list) == batch
    for one in told if batch else [told]:
        assert list(one) == ["RegistrationRequestId"]
        uuid.UUID(one["RegistrationRequestId"])


@schemathesis.check
class EveryOperationIsReached:
    """Nothing is proven by refusals alone: each operation has to succeed at least once."""

    def __init__(self):
        self.tested, self.reached = set(), set()

    def after_response(self, ctx, response, case):
        label = case.operation.label
        self.tested.add(label)
        if 200 <= response.status_code < 300:
            self.reached.add(label)

    def after_run(self, ctx):
        missed = sorted(self.tested - self.reached)
        assert not missed, f"never answered 2xx: {', '.join(missed)}"
