// Pushes through npm `@parse/node-apn`, as the plan in the second argument says; the first is the
// package's directory. The address is replaced, and the authority trusted. Writes what came of each
// as JSON.
'use strict';

const [directory, text] = process.argv.slice(2);
const apn = require(require.resolve('@parse/node-apn', { paths: [directory] }));
const plan = JSON.parse(text);

const provider = new apn.Provider({
  ...plan.credentials,
  address: plan.host,
  port: plan.port,
  ca: plan.ca,
  requestTimeout: 60000,
});
const notification = new apn.Notification({
  alert: 'Hello',
  badge: 1,
  topic: plan.topic,
  pushType: 'alert',
  priority: 10,
});

// One after the other: with a provider token APNs allows one stream until the first request was accepted, and older
// versions of node do not wait for the peer's SETTINGS before they open more.
async function sendAll() {
  const results = [];
  for (const device of plan.devices) {
    const { sent, failed } = await provider.send(notification, [device]);
    results.push(
      ...sent.map(() => ({ device, status: 200, reason: null, timestamp: null })),
      ...failed.map(({ status, response, error }) => ({
        device,
        status: status ?? null,
        reason: response?.reason ?? error?.message ?? null,
        timestamp: response?.timestamp ?? null,
      })),
    );
  }
  process.stdout.write(JSON.stringify(results));
  await provider.shutdown();
}

sendAll();
