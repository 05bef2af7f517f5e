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

provider.send(notification, plan.devices).then(({ sent, failed }) => {
  const results = [
    ...sent.map(({ device }) => ({ device, status: 200, reason: null, timestamp: null })),
    ...failed.map(({ device, status, response, error }) => ({
      device,
      status: status ?? null,
      reason: response?.reason ?? error?.message ?? null,
      timestamp: response?.timestamp ?? null,
    })),
  ];
  process.stdout.write(JSON.stringify(results));
  return provider.shutdown();
});
