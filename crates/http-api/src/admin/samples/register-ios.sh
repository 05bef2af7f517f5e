API_TOKEN='the API token that you were given'
USER_ID='the id of the contact, lead or profile'
APNS_TOKEN='the device token in hexadecimal'

curl -i '{{BASE}}/api/v1.0/orgs/{{ORG}}/pushdeviceregistration/devices' \
  -H 'Content-Type: application/json' -H 'x-ms-track-registration: true' \
  --data @- <<JSON
{"MobileAppId": "{{APP}}", "UserId": "$USER_ID", "ApiToken": "$API_TOKEN", "ApnsDeviceToken": "$APNS_TOKEN"}
JSON
