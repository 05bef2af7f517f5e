//! What is wrong, as an operator sees it, and what to do about it. A symptom is read off a provider's
//! answer, or off a device token that can't be one of its platform; it never decides what becomes of a
//! registration.

use pushroll_domain::{DeviceToken, Environment, Platform, Provider, ProviderAnswer, Verdict};

/// Something that is wrong with an app's credentials, its device tokens or the way to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// What is stored can't be opened or read.
    CredentialsUnreadable,
    /// The credentials' time is over.
    CredentialsExpired,
    /// APNs does not know the key, the key id or the team id.
    ApnsKeyRefused,
    /// The APNs key is not good in the environment that was asked.
    ApnsKeyOfOtherEnvironment,
    /// The APNs certificate is refused.
    CertificateRefused,
    /// The APNs certificate is not good in the environment that was asked.
    CertificateOfOtherEnvironment,
    /// The bundle id is not one that the credentials may send to.
    TopicRefused,
    /// What we sign is too old or not yet good: a clock is wrong.
    ClockSkew,
    /// Google does not know the service account.
    AccountUnknown,
    /// Google refuses the service account's key.
    AccountKeyRefused,
    /// Cloud Messaging is switched off in the project.
    ApiDisabled,
    /// The service account may not send in the project.
    NoPermission,
    /// There is no such project.
    ProjectUnknown,
    /// The credentials are refused for another reason.
    CredentialsRefused,
    /// A device token of the other APNs environment.
    TokenOfOtherEnvironment,
    /// An FCM token that was sent as an APNs token.
    FcmTokenAsApns,
    /// An APNs token that was sent as an FCM token.
    ApnsTokenAsFcm,
    /// A device token of an app with another bundle id.
    TokenOfOtherApp,
    /// A device token of another Firebase project.
    TokenOfOtherProject,
    /// An FCM token that wraps an APNs token, and Firebase can't reach APNs.
    WrappedByFirebase,
    /// The provider wants to be asked less.
    Throttled,
    /// The provider is in trouble.
    ProviderFails,
    /// The provider's name can't be looked up.
    NoLookup,
    /// The proxy makes no connection to the provider.
    NoTunnel,
    /// There is no connection to the provider.
    NoConnection,
    /// There is a connection, and it is not the provider's.
    NotTheProvider,
    /// A made-up token was accepted.
    MadeUpTokenAccepted,
    /// The request is refused for another reason.
    RequestRefused,
}

/// Begins the tokens that FCM gives out, after the first colon.
const FCM_MARK: &str = "APA91b";
/// Bytes of an APNs token, in hexadecimal digits.
const APNS_DIGITS: usize = 64;

impl Symptom {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::CredentialsUnreadable,
        Self::CredentialsExpired,
        Self::ApnsKeyRefused,
        Self::ApnsKeyOfOtherEnvironment,
        Self::CertificateRefused,
        Self::CertificateOfOtherEnvironment,
        Self::TopicRefused,
        Self::ClockSkew,
        Self::AccountUnknown,
        Self::AccountKeyRefused,
        Self::ApiDisabled,
        Self::NoPermission,
        Self::ProjectUnknown,
        Self::CredentialsRefused,
        Self::TokenOfOtherEnvironment,
        Self::FcmTokenAsApns,
        Self::ApnsTokenAsFcm,
        Self::TokenOfOtherApp,
        Self::TokenOfOtherProject,
        Self::WrappedByFirebase,
        Self::Throttled,
        Self::ProviderFails,
        Self::NoLookup,
        Self::NoTunnel,
        Self::NoConnection,
        Self::NotTheProvider,
        Self::MadeUpTokenAccepted,
        Self::RequestRefused,
    ];

    /// The name in the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CredentialsUnreadable => "credentials-unreadable",
            Self::CredentialsExpired => "credentials-expired",
            Self::ApnsKeyRefused => "apns-key-refused",
            Self::ApnsKeyOfOtherEnvironment => "apns-key-of-other-environment",
            Self::CertificateRefused => "certificate-refused",
            Self::CertificateOfOtherEnvironment => "certificate-of-other-environment",
            Self::TopicRefused => "topic-refused",
            Self::ClockSkew => "clock-skew",
            Self::AccountUnknown => "account-unknown",
            Self::AccountKeyRefused => "account-key-refused",
            Self::ApiDisabled => "api-disabled",
            Self::NoPermission => "no-permission",
            Self::ProjectUnknown => "project-unknown",
            Self::CredentialsRefused => "credentials-refused",
            Self::TokenOfOtherEnvironment => "token-of-other-environment",
            Self::FcmTokenAsApns => "fcm-token-as-apns",
            Self::ApnsTokenAsFcm => "apns-token-as-fcm",
            Self::TokenOfOtherApp => "token-of-other-app",
            Self::TokenOfOtherProject => "token-of-other-project",
            Self::WrappedByFirebase => "wrapped-by-firebase",
            Self::Throttled => "throttled",
            Self::ProviderFails => "provider-fails",
            Self::NoLookup => "no-lookup",
            Self::NoTunnel => "no-tunnel",
            Self::NoConnection => "no-connection",
            Self::NotTheProvider => "not-the-provider",
            Self::MadeUpTokenAccepted => "made-up-token-accepted",
            Self::RequestRefused => "request-refused",
        }
    }

    /// What is wrong, in a sentence.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::CredentialsUnreadable => "The stored credentials can't be used.",
            Self::CredentialsExpired => "The stored credentials have expired.",
            Self::ApnsKeyRefused => "APNs does not accept the app's key.",
            Self::ApnsKeyOfOtherEnvironment => {
                "The app's APNs key is not good in this environment."
            }
            Self::CertificateRefused => "APNs does not accept the app's certificate.",
            Self::CertificateOfOtherEnvironment => {
                "The app's APNs certificate is not good in this environment."
            }
            Self::TopicRefused => {
                "APNs does not let these credentials send to the app's bundle id."
            }
            Self::ClockSkew => {
                "The provider finds our signatures too old or not yet good: a clock is wrong."
            }
            Self::AccountUnknown => "Google does not know the app's service account.",
            Self::AccountKeyRefused => "Google does not accept the service account's key.",
            Self::ApiDisabled => "The Firebase Cloud Messaging API is switched off in the project.",
            Self::NoPermission => "The service account may not send messages in the project.",
            Self::ProjectUnknown => "Google knows no Firebase project with the app's project id.",
            Self::CredentialsRefused => "The provider does not accept the app's credentials.",
            Self::TokenOfOtherEnvironment => {
                "Device tokens of the other APNs environment are being registered."
            }
            Self::FcmTokenAsApns => {
                "FCM tokens are being registered as ApnsDeviceToken: on iOS, Firebase wraps the APNs token."
            }
            Self::ApnsTokenAsFcm => "APNs tokens are being registered as FcmDeviceToken.",
            Self::TokenOfOtherApp => {
                "Device tokens of an app with another bundle id are being registered (DeviceTokenNotForTopic)."
            }
            Self::TokenOfOtherProject => {
                "Device tokens of another Firebase project are being registered (SENDER_ID_MISMATCH)."
            }
            Self::WrappedByFirebase => {
                "FCM could not hand a message on to APNs (THIRD_PARTY_AUTH_ERROR): the token is an iOS device's, wrapped by Firebase."
            }
            Self::Throttled => "The provider asks to be asked less often.",
            Self::ProviderFails => "The provider answers that it is in trouble itself.",
            Self::NoLookup => "The provider's name can't be looked up.",
            Self::NoTunnel => "The proxy makes no connection to the provider.",
            Self::NoConnection => "There is no connection to the provider.",
            Self::NotTheProvider => {
                "Something answers in the provider's place, or stands in between."
            }
            Self::MadeUpTokenAccepted => "A made-up device token was accepted.",
            Self::RequestRefused => "The provider refuses the request.",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn to_do(self) -> &'static str {
        match self {
            Self::CredentialsUnreadable => {
                "Enter them again: pushroll app update. If this is so for every app, the sealing key is not the one that they were sealed with."
            }
            Self::CredentialsExpired => {
                "Make new ones in the developer account and enter them: pushroll app update."
            }
            Self::ApnsKeyRefused => {
                "Compare the key id with the name of the file (AuthKey_KEYID.p8) and the team id with the membership page of Apple's developer account; see there under Keys that the key is enabled for APNs and not revoked; then enter all three again: pushroll app update. If all is right, look at this machine's clock."
            }
            Self::ApnsKeyOfOtherEnvironment => {
                "Under Keys in Apple's developer account a key may be limited to Sandbox or Production. Make one for both, or set the app's mode to the environment that the key is for."
            }
            Self::CertificateRefused => {
                "See in Apple's developer account that the certificate is for this bundle id, not revoked and not expired; export it with its private key as .p12 and enter it again. A key (.p8) does not expire."
            }
            Self::CertificateOfOtherEnvironment => {
                "Development certificates are good in the sandbox only. Make a certificate of the kind \"Apple Push Notification service SSL (Sandbox & Production)\", or set the app's mode to sandbox."
            }
            Self::TopicRefused => {
                "Compare the app's bundle id with the one in Xcode, letter by letter; the key or certificate must be of the same developer team."
            }
            Self::ClockSkew => {
                "Set the clock of the machine that the server runs on: timedatectl status; then switch on NTP (timedatectl set-ntp true)."
            }
            Self::AccountUnknown => {
                "The service account was deleted, or the file is of another project. In the Firebase console: Project settings, Service accounts, Generate new private key; enter that file: pushroll app update --service-account FILE."
            }
            Self::AccountKeyRefused => {
                "The key was deleted or replaced. In the Firebase console: Project settings, Service accounts, Generate new private key; enter that file: pushroll app update --service-account FILE."
            }
            Self::ApiDisabled => {
                "Switch it on: Google Cloud console, APIs & Services, Firebase Cloud Messaging API, Enable. It takes some minutes to be in force."
            }
            Self::NoPermission => {
                "Give the service account the role \"Firebase Cloud Messaging API Admin\" (or \"Firebase Admin\") in the project: Google Cloud console, IAM. Or enter the file of an account that has it."
            }
            Self::ProjectUnknown => {
                "See that the service account's file is of the Firebase project that the app's google-services.json names, and that this project was not deleted."
            }
            Self::CredentialsRefused => {
                "Enter them again from a fresh download: pushroll app update. The provider's own words stand beside this."
            }
            Self::TokenOfOtherEnvironment => {
                "Apps run from Xcode get sandbox tokens, those from TestFlight and the App Store production tokens. Set the app's mode to auto, or register only tokens of its own environment."
            }
            Self::FcmTokenAsApns => {
                "In the iOS app, send the token of application(_:didRegisterForRemoteNotificationsWithDeviceToken:) in hexadecimal (with Firebase: Messaging.messaging().apnsToken), not the one of Firebase Messaging."
            }
            Self::ApnsTokenAsFcm => {
                "Send an iOS device's token as ApnsDeviceToken, and as FcmDeviceToken only what FirebaseMessaging.getInstance().token gives on Android."
            }
            Self::TokenOfOtherApp => {
                "Compare the app's bundle id with the one in Xcode, letter by letter; an app with another bundle id (a beta, an extension) is another app here."
            }
            Self::TokenOfOtherProject => {
                "The mobile app and the server must be of one Firebase project: compare project_id in the app's google-services.json with that of the service account."
            }
            Self::WrappedByFirebase => {
                "Have the iOS app send its APNs token as ApnsDeviceToken; the token that Firebase wraps around it works only with an APNs key uploaded to Firebase (Project settings, Cloud Messaging)."
            }
            Self::Throttled => "Wait; registrations are tried again by themselves.",
            Self::ProviderFails => {
                "Wait; registrations are tried again by themselves. See the provider's status page (developer.apple.com/system-status, status.firebase.google.com)."
            }
            Self::NoLookup => {
                "See that the server's machine has a name server that knows public names: getent hosts, with the provider's name."
            }
            Self::NoTunnel => {
                "Look at providers.proxy in the settings: address, user and password; and that the proxy allows CONNECT to the provider's host on port 443."
            }
            Self::NoConnection => {
                "Let the server's machine connect to the provider on port 443: look at firewall, egress rules and network policies."
            }
            Self::NotTheProvider => {
                "A proxy that opens TLS can't be used with APNs: have it let the provider's hosts through untouched. If its authority is to be trusted for the other provider, name its certificate in providers.ca_file."
            }
            Self::MadeUpTokenAccepted => {
                "What answers is no provider: look at [providers] in the settings, and at what stands between."
            }
            Self::RequestRefused => {
                "The provider's own words stand beside this; if they tell nothing, report it with them."
            }
        }
    }

    /// Reads a symptom off the answer to a dry run of a token that is or may be a device's. What is
    /// wrong with that one device only is no symptom.
    #[must_use]
    pub fn of_dry_run(verdict: &Verdict, answer: &ProviderAnswer) -> Option<Self> {
        match verdict {
            Verdict::Accepted | Verdict::WrongEnvironment { credentials: false } => None,
            Verdict::TokenRejected => match answer.reason.as_str() {
                "SENDER_ID_MISMATCH" => Some(Self::TokenOfOtherProject),
                "DeviceTokenNotForTopic" => Some(Self::TokenOfOtherApp),
                _ => None,
            },
            Verdict::WrongEnvironment { credentials: true } => {
                Some(Self::ApnsKeyOfOtherEnvironment)
            }
            Verdict::RequestRefused => Some(match answer.reason.as_str() {
                "BadTopic" | "TopicDisallowed" | "MissingTopic" => Self::TopicRefused,
                _ => Self::RequestRefused,
            }),
            Verdict::CredentialsRefused => Some(of_credentials(answer)),
            Verdict::Busy { .. } if answer.status == Some(429) => Some(Self::Throttled),
            // Our own limits are no fault of anybody.
            Verdict::Busy { .. } if answer.status.is_none() => None,
            Verdict::Busy { .. } => Some(Self::ProviderFails),
            Verdict::Unreachable => Some(of_silence(answer)),
        }
    }

    /// Reads a symptom off a device token that can't be one of its platform.
    #[must_use]
    pub fn of_token(token: &DeviceToken) -> Option<Self> {
        let text = token.reveal();
        match token.platform() {
            // APNs tokens are kept in lower case.
            Platform::Ios => {
                let (_, rest) = text.split_once(':')?;
                let mark = rest.get(..FCM_MARK.len())?;
                mark.eq_ignore_ascii_case(FCM_MARK).then_some(Self::FcmTokenAsApns)
            }
            Platform::Android => (text.len() == APNS_DIGITS && token.is_hexadecimal())
                .then_some(Self::ApnsTokenAsFcm),
        }
    }

    /// Whether nothing can be verified while it lasts, or only some tokens are concerned.
    #[must_use]
    pub const fn stops_everything(self) -> bool {
        match self {
            Self::CredentialsUnreadable
            | Self::CredentialsExpired
            | Self::ApnsKeyRefused
            | Self::ApnsKeyOfOtherEnvironment
            | Self::CertificateRefused
            | Self::CertificateOfOtherEnvironment
            | Self::TopicRefused
            | Self::ClockSkew
            | Self::AccountUnknown
            | Self::AccountKeyRefused
            | Self::ApiDisabled
            | Self::NoPermission
            | Self::ProjectUnknown
            | Self::CredentialsRefused
            | Self::NoLookup
            | Self::NoTunnel
            | Self::NoConnection
            | Self::NotTheProvider
            | Self::MadeUpTokenAccepted
            | Self::RequestRefused => true,
            Self::TokenOfOtherEnvironment
            | Self::FcmTokenAsApns
            | Self::ApnsTokenAsFcm
            | Self::TokenOfOtherApp
            | Self::TokenOfOtherProject
            | Self::WrappedByFirebase
            | Self::Throttled
            | Self::ProviderFails => false,
        }
    }
}

fn of_credentials(answer: &ProviderAnswer) -> Symptom {
    let detail = answer.detail.as_deref().unwrap_or_default();
    match answer.provider {
        Provider::Apns => match answer.reason.as_str() {
            "ExpiredProviderToken" => Symptom::ClockSkew,
            "InvalidProviderToken" | "MissingProviderToken" | "UnrelatedKeyIdInToken" => {
                Symptom::ApnsKeyRefused
            }
            "BadEnvironmentKeyIdInToken" => Symptom::ApnsKeyOfOtherEnvironment,
            "the certificate has expired" => Symptom::CredentialsExpired,
            "BadCertificate" | "the certificate was refused" => Symptom::CertificateRefused,
            "BadCertificateEnvironment" => Symptom::CertificateOfOtherEnvironment,
            _ => Symptom::CredentialsRefused,
        },
        // RFC 6749, section 5.2, with Google's own explanations.
        Provider::OAuth => match answer.reason.as_str() {
            "invalid_grant" if detail.contains("reasonable timeframe") => Symptom::ClockSkew,
            "invalid_grant" if detail.contains("account not found") => Symptom::AccountUnknown,
            "invalid_grant" if detail.to_ascii_lowercase().contains("invalid jwt signature") => {
                Symptom::AccountKeyRefused
            }
            "invalid_client" | "unauthorized_client" => Symptom::AccountUnknown,
            _ => Symptom::CredentialsRefused,
        },
        Provider::Fcm => match (answer.status, answer.reason.as_str()) {
            (_, "THIRD_PARTY_AUTH_ERROR") => Symptom::WrappedByFirebase,
            (Some(403), _)
                if detail.contains("has not been used in project")
                    || detail.contains("it is disabled") =>
            {
                Symptom::ApiDisabled
            }
            (Some(403), _) => Symptom::NoPermission,
            (Some(404), _) => Symptom::ProjectUnknown,
            _ => Symptom::CredentialsRefused,
        },
    }
}

fn of_silence(answer: &ProviderAnswer) -> Symptom {
    match answer.reason.as_str() {
        "the name can't be looked up" => Symptom::NoLookup,
        "the proxy made no connection" => Symptom::NoTunnel,
        "no TLS" | "the server does not speak HTTP/2" | "no HTTP" => Symptom::NotTheProvider,
        "IdleTimeout" => Symptom::NoConnection,
        // A status that the provider never gives.
        _ if answer.status.is_some() => Symptom::NotTheProvider,
        _ => Symptom::NoConnection,
    }
}

/// Who was asked, for people.
#[must_use]
pub fn provider_name(provider: Provider, environment: Option<Environment>) -> &'static str {
    match (provider, environment) {
        (Provider::Apns, Some(Environment::Production)) => "APNs (production)",
        (Provider::Apns, Some(Environment::Sandbox)) => "APNs (sandbox)",
        (Provider::Apns, None) => "APNs",
        (Provider::Fcm, _) => "FCM",
        (Provider::OAuth, _) => "Google's token endpoint",
    }
}

#[cfg(test)]
mod tests;
