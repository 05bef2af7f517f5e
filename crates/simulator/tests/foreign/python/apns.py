"""Pushes through PyPI `aioapns`, as the plan in the first argument says; host and port are
replaced, and the authority trusted. Writes what came of each as JSON."""

import asyncio
import json
import ssl
import sys

from aioapns import APNs, NotificationRequest, PushType, connection


async def main(plan):
    for protocol in (
        connection.APNsProductionClientProtocol,
        connection.APNsDevelopmentClientProtocol,
    ):
        protocol.APNS_SERVER, protocol.APNS_PORT = plan["host"], plan["port"]

    async def keep_quiet(request, result):
        pass

    client = APNs(
        **plan["credentials"],
        topic=plan["topic"],
        use_sandbox=plan["sandbox"],
        ssl_context=ssl.create_default_context(cafile=plan["ca"]),
        max_connections=plan["connections"],
        err_func=keep_quiet,
    )

    async def push(device):
        result = await client.send_notification(
            NotificationRequest(
                device_token=device,
                message={"aps": {"alert": "Hello", "badge": 1}},
                push_type=PushType.ALERT,
                priority=10,
            )
        )
        return {
            "device": device,
            "status": int(result.status),
            "reason": result.description,
            "timestamp": result.timestamp,
        }

    if plan["at_once"]:
        results = await asyncio.gather(*(push(device) for device in plan["devices"]))
    else:
        results = [await push(device) for device in plan["devices"]]
    client.pool.close()
    json.dump(results, sys.stdout)


asyncio.run(asyncio.wait_for(main(json.loads(sys.argv[1])), timeout=120))
