// In your FirebaseMessagingService; also call it at the start of the app, with
// FirebaseMessaging.getInstance().token.
override fun onNewToken(token: String) {
    val body = JSONObject()
        .put("MobileAppId", "{{APP}}")
        .put("UserId", userId)      // the contact, lead or profile that has signed in
        .put("ApiToken", apiToken)  // whoever has it may register and remove devices of this app
        .put("FcmDeviceToken", token)
    val url = URL("{{BASE}}/api/v1.0/orgs/{{ORG}}/pushdeviceregistration/devices")
    thread {
        with(url.openConnection() as HttpURLConnection) {
            requestMethod = "POST"
            doOutput = true
            setRequestProperty("Content-Type", "application/json")
            setRequestProperty("x-ms-track-registration", "true")
            outputStream.use { it.write(body.toString().toByteArray()) }
            // 202 with {"RegistrationRequestId": "…"}: accepted. Ask for its status to know how it ended.
            Log.i("push", "registration: $responseCode")
        }
    }
}
