"""Messages through PyPI `firebase-admin`, as the plan in the first argument says; the endpoint's
constant is replaced, and the authority is trusted by the variables of its HTTP libraries. Writes
what came of each as JSON."""

import asyncio
import json
import sys

import firebase_admin
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import RefreshError


def told(device, fault):
    if fault is None:
        return {"device": device, "error": None}
    return {
        "device": device,
        "error": type(fault).__name__,
        "code": getattr(fault, "code", None),
        "message": str(fault),
    }


def main(plan):
    messaging._MessagingService.FCM_URL = plan["fcm"] + "/v1/projects/{0}/messages:send"
    firebase_admin.initialize_app(credentials.Certificate(plan["service_account"]))
    messages = [
        messaging.Message(**{plan["kind"]: device}, data={"key": "value"})
        for device in plan["devices"]
    ]
    results = []
    if plan["async"]:
        # Over HTTP/2.
        batch = asyncio.run(messaging.send_each_async(messages, dry_run=plan["dry_run"]))
        for device, response in zip(plan["devices"], batch.responses):
            results.append({**told(device, response.exception), "name": response.message_id})
    else:
        for device, message in zip(plan["devices"], messages):
            try:
                name = messaging.send(message, dry_run=plan["dry_run"])
                results.append({**told(device, None), "name": name})
            except (exceptions.FirebaseError, RefreshError) as fault:
                results.append({**told(device, fault), "name": None})
    json.dump(results, sys.stdout)


main(json.loads(sys.argv[1]))
