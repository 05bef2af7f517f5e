//! From a path to what is there. Fixed words are compared as written; a trailing slash makes no
//! difference.

use std::borrow::Cow;

/// Where the description of the device registration API is.
pub(crate) const COMPATIBLE_DESCRIPTION: &str = "/api/v1.0/openapi.json";

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'p> {
    /// A step of the device registration API; `org` is the segment as it stands there.
    Compatible {
        /// The organization's id, not checked.
        org: &'p str,
        /// Which step.
        step: Step,
    },
    /// Administration; the path after `/admin/v1`, without the slash between.
    Admin(&'p str),
    /// The description of the device registration API.
    Description,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/metrics`
    Metrics,
    /// Nothing.
    Nothing,
}

/// The steps of the device registration API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `devices`
    Register,
    /// `devices/batch`
    RegisterBatch,
    /// `devices/status`
    Status,
    /// `devices/cleanup`
    CleanUp,
    /// `devices/cleanup/batch`
    CleanUpBatch,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::Register, Self::RegisterBatch, Self::Status, Self::CleanUp, Self::CleanUpBatch];
    /// What stands before the organization's id in the path of every step.
    pub(crate) const BEFORE_ORG: &str = "/api/v1.0/orgs/";
    /// What stands behind it and a slash.
    pub(crate) const AFTER_ORG: &str = "pushdeviceregistration/devices";

    /// What stands behind that.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Register => "",
            Self::RegisterBatch => "/batch",
            Self::Status => "/status",
            Self::CleanUp => "/cleanup",
            Self::CleanUpBatch => "/cleanup/batch",
        }
    }
}

impl<'p> Route<'p> {
    /// What is at this path.
    pub(crate) fn of(path: &'p str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        if let Some(rest) = path.strip_prefix(Step::BEFORE_ORG) {
            return Self::compatible(rest).unwrap_or(Self::Nothing);
        }
        if let Some(rest) = path.strip_prefix("/admin/v1") {
            return match rest.strip_prefix('/') {
                Some(rest) => Self::Admin(rest),
                None if rest.is_empty() => Self::Admin(""),
                None => Self::Nothing,
            };
        }
        match path {
            COMPATIBLE_DESCRIPTION => Self::Description,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            _ => Self::Nothing,
        }
    }

    fn compatible(rest: &'p str) -> Option<Self> {
        let (org, rest) = rest.split_once('/')?;
        let rest = rest.strip_prefix(Step::AFTER_ORG)?;
        let step = Step::ALL.into_iter().find(|step| step.path() == rest)?;
        Some(Self::Compatible { org, step })
    }

    /// The route's name in metrics and logs.
    pub(crate) fn name(&self) -> RouteName {
        match self {
            Self::Compatible { step: Step::Register, .. } => RouteName::Register,
            Self::Compatible { step: Step::RegisterBatch, .. } => RouteName::RegisterBatch,
            Self::Compatible { step: Step::Status, .. } => RouteName::Status,
            Self::Compatible { step: Step::CleanUp, .. } => RouteName::CleanUp,
            Self::Compatible { step: Step::CleanUpBatch, .. } => RouteName::CleanUpBatch,
            Self::Admin(_) => RouteName::Admin,
            Self::Description => RouteName::Description,
            Self::Health => RouteName::Health,
            Self::Ready => RouteName::Ready,
            Self::Metrics => RouteName::Metrics,
            Self::Nothing => RouteName::Nothing,
        }
    }
}

/// The names of all routes: never a part of a path that a caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteName {
    Register,
    RegisterBatch,
    Status,
    CleanUp,
    CleanUpBatch,
    Admin,
    Description,
    Health,
    Ready,
    Metrics,
    Nothing,
}

impl RouteName {
    pub(crate) const ALL: [Self; 11] = [
        Self::Register,
        Self::RegisterBatch,
        Self::Status,
        Self::CleanUp,
        Self::CleanUpBatch,
        Self::Admin,
        Self::Description,
        Self::Health,
        Self::Ready,
        Self::Metrics,
        Self::Nothing,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Register => "devices",
            Self::RegisterBatch => "devices/batch",
            Self::Status => "devices/status",
            Self::CleanUp => "devices/cleanup",
            Self::CleanUpBatch => "devices/cleanup/batch",
            Self::Admin => "admin",
            Self::Description => "openapi",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
            Self::Nothing => "none",
        }
    }
}

/// A segment of a path that holds an id, whose braces may be percent-encoded.
pub(crate) fn percent_decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = match bytes.get(at + 1..at + 3) {
            Some(digits) if byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit) => {
                str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            Some(_) | None => None,
        };
        decoded.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_slash_is_accepted_on_every_path() {
        for path in [
            "/api/v1.0/orgs/x/pushdeviceregistration/devices",
            "/api/v1.0/orgs/x/pushdeviceregistration/devices/batch",
            "/api/v1.0/orgs/x/pushdeviceregistration/devices/status",
            "/api/v1.0/orgs/x/pushdeviceregistration/devices/cleanup",
            "/api/v1.0/orgs/x/pushdeviceregistration/devices/cleanup/batch",
            "/admin/v1/orgs",
            "/api/v1.0/openapi.json",
            "/healthz",
            "/readyz",
            "/metrics",
        ] {
            assert_ne!(Route::of(path), Route::Nothing, "{path}");
            assert_eq!(Route::of(path), Route::of(&format!("{path}/")), "{path}");
        }
    }

    #[test]
    fn any_other_path_leads_nowhere() {
        for path in [
            "",
            "/",
            "*",
            "//healthz",
            "/healthz//",
            "/Healthz",
            "/api/v1.0/orgs/x/pushdeviceregistration/Devices",
            "/api/v1.0/orgs/x/pushdeviceregistration/devicesbatch",
            "/api/v1.0/orgs/x/pushdeviceregistration/devices/batch/x",
            "/api/v1.0/orgs/x/y/pushdeviceregistration/devices",
            "/api/v1.0/orgs/pushdeviceregistration/devices",
            "/api/v1/orgs/x/pushdeviceregistration/devices",
            "/API/v1.0/orgs/x/pushdeviceregistration/devices",
            "/admin/v10",
            "/admin",
        ] {
            assert_eq!(Route::of(path), Route::Nothing, "{path}");
        }
    }

    #[test]
    fn percent_encoding_is_undone_and_what_is_none_stays() {
        assert_eq!(percent_decoded("%7Bab%7d"), "{ab}");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%+1%zz%1"), "%+1%zz%1");
        assert_eq!(percent_decoded("%ff"), "\u{fffd}");
    }

    #[test]
    fn an_organization_id_that_is_none_is_for_the_step_to_refuse() {
        assert_eq!(
            Route::of("/api/v1.0/orgs//pushdeviceregistration/devices"),
            Route::Compatible { org: "", step: Step::Register }
        );
    }
}
