// In the app delegate, after UIApplication.shared.registerForRemoteNotifications().
// It must be this token, in hexadecimal; not the one that Firebase Messaging makes of it.
func application(_ application: UIApplication,
                 didRegisterForRemoteNotificationsWithDeviceToken deviceToken: Data) {
    let token = deviceToken.map { String(format: "%02x", $0) }.joined()
    var request = URLRequest(url: URL(string:
        "{{BASE}}/api/v1.0/orgs/{{ORG}}/pushdeviceregistration/devices")!)
    request.httpMethod = "POST"
    request.setValue("application/json", forHTTPHeaderField: "Content-Type")
    request.setValue("true", forHTTPHeaderField: "x-ms-track-registration")
    request.httpBody = try? JSONSerialization.data(withJSONObject: [
        "MobileAppId": "{{APP}}",
        "UserId": userId,       // the contact, lead or profile that has signed in
        "ApiToken": apiToken,   // whoever has it may register and remove devices of this app
        "ApnsDeviceToken": token,
    ])
    URLSession.shared.dataTask(with: request) { data, response, error in
        // 202 with {"RegistrationRequestId": "…"}: accepted. Ask for its status to know how it ended.
    }.resume()
}
