API_TOKEN='the API token that you were given'
USER_ID='the id of the contact, lead or profile'
DEVICE_TOKEN='the device token; empty for all devices of the user'

curl -i '{{BASE}}/api/v1.0/orgs/{{ORG}}/pushdeviceregistration/devices/cleanup' \
  -H 'Content-Type: application/json' \
  --data @- <<JSON
{"MobileAppId": "{{APP}}", "ApiToken": "$API_TOKEN", "UserId": "$USER_ID", "DeviceToken": "$DEVICE_TOKEN"}
JSON
