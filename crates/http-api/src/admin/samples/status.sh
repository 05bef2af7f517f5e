API_TOKEN='the API token that you were given'
ID='the RegistrationRequestId of the answer to the registration'

curl -s '{{BASE}}/api/v1.0/orgs/{{ORG}}/pushdeviceregistration/devices/status/' \
  -H 'Content-Type: application/json' \
  --data @- <<JSON
{"RegistrationRequestIds": ["$ID"], "MobileAppId": "{{APP}}", "ApiToken": "$API_TOKEN"}
JSON
