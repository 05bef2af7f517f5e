//! What becomes of a device token, told by its first characters, so that a trial needs no script.

/// How often a busy device token is refused before it is accepted.
pub const BUSY_ANSWERS: u8 = 2;
/// How late a slow device token is accepted.
pub const SLOW_MS: u64 = 3000;

/// The fate of an APNs device token, by its first four hexadecimal digits in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApnsFate {
    /// 200.
    Accepted,
    /// `bad0`: 400 BadDeviceToken.
    Bad,
    /// `dead`: 410 Unregistered, with a timestamp.
    Dead,
    /// `5a4d`: the sandbox accepts it, production answers 400 BadDeviceToken.
    SandboxOnly,
    /// `b0b0`: 429 TooManyRequests twice, then 200.
    Busy,
    /// `5105`: 200 after three seconds.
    Slow,
}

impl ApnsFate {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Bad, Self::Dead, Self::SandboxOnly, Self::Busy, Self::Slow];

    /// The first characters of the tokens with this fate.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Accepted => "",
            Self::Bad => "bad0",
            Self::Dead => "dead",
            Self::SandboxOnly => "5a4d",
            Self::Busy => "b0b0",
            Self::Slow => "5105",
        }
    }

    /// The fate of `token`.
    pub fn of(token: &str) -> Self {
        let begins_with = |prefix: &str| {
            token.as_bytes().get(..4).is_some_and(|t| t.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        Self::ALL
            .into_iter()
            .find(|fate| *fate != Self::Accepted && begins_with(fate.prefix()))
            .unwrap_or(Self::Accepted)
    }
}

/// The fate of an FCM registration token, by its first characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FcmFate {
    /// 200.
    Accepted,
    /// `bad-`: 400 INVALID_ARGUMENT with an FcmError.
    Bad,
    /// `dead-`: 404 UNREGISTERED.
    Dead,
    /// `other-`: 403 SENDER_ID_MISMATCH.
    OtherSender,
    /// `busy-`: 503 UNAVAILABLE with `Retry-After: 1` twice, then 200.
    Busy,
    /// `slow-`: 200 after three seconds.
    Slow,
}

impl FcmFate {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Bad, Self::Dead, Self::OtherSender, Self::Busy, Self::Slow];

    /// The first characters of the tokens with this fate.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Accepted => "",
            Self::Bad => "bad-",
            Self::Dead => "dead-",
            Self::OtherSender => "other-",
            Self::Busy => "busy-",
            Self::Slow => "slow-",
        }
    }

    /// The fate of `token`.
    pub fn of(token: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|fate| *fate != Self::Accepted && token.starts_with(fate.prefix()))
            .unwrap_or(Self::Accepted)
    }
}
