//! What can be done, and where: one table. Requests are routed by it, and the OpenAPI document is made of it, so
//! that neither knows anything that the other does not.

use http::{Method, StatusCode};
use pushroll_domain::{AppId, GuidFault, OrgId, RegistrationId, TokenId};

use crate::admin::{
    apps, audit, backup, callbacks, developer_information, health, inspect, orgs, tokens,
};
use crate::openapi;
use crate::openapi::describe::{Described, Tag};
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::route::percent_decoded;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateOrg,
    ListOrgs,
    ShowOrg(OrgId),
    CreateApp(OrgId),
    ListApps(OrgId),
    ShowApp(OrgId, AppId),
    ChangeApp(OrgId, AppId),
    DeleteApp(OrgId, AppId),
    CreateToken(OrgId, AppId),
    ListTokens(OrgId, AppId),
    RevokeToken(OrgId, AppId, TokenId),
    ListDevices(OrgId, AppId),
    ListRegistrations(OrgId, AppId),
    ShowRegistration(OrgId, AppId, RegistrationId),
    ListDeliveries(OrgId, AppId),
    RotateWebhookSecret(OrgId, AppId),
    EndOldWebhookSecret(OrgId, AppId),
    BackUp,
    ShowDeveloperInformation(OrgId, AppId),
    ShowHealth(OrgId, AppId),
    CheckApp(OrgId, AppId),
    ListAudit,
    ShowOpenApi,
}

/// Where something can be done.
pub(crate) struct Place {
    pub(crate) method: Method,
    /// Below `/admin/v1/`; the segment of an id is its name in braces.
    pub(crate) path: &'static str,
    make: Make,
    /// What is told of it.
    pub(crate) describe: fn() -> Described,
}

/// Makes an operation of the ids in its path.
enum Make {
    Of(Operation),
    OfOrg(fn(OrgId) -> Operation),
    OfApp(fn(OrgId, AppId) -> Operation),
    OfToken(fn(OrgId, AppId, TokenId) -> Operation),
    OfRegistration(fn(OrgId, AppId, RegistrationId) -> Operation),
}

const fn place(
    method: Method,
    path: &'static str,
    make: Make,
    describe: fn() -> Described,
) -> Place {
    Place { method, path, make, describe }
}

/// All that can be done. The methods of a path are told in this order when another is refused.
pub(crate) static PLACES: [Place; 23] = {
    use Make::{Of, OfApp, OfOrg, OfRegistration, OfToken};
    use Operation as Do;
    [
        place(Method::GET, "orgs", Of(Do::ListOrgs), orgs::list_described),
        place(Method::POST, "orgs", Of(Do::CreateOrg), orgs::create_described),
        place(Method::GET, "orgs/{org}", OfOrg(Do::ShowOrg), orgs::show_described),
        place(Method::GET, "orgs/{org}/apps", OfOrg(Do::ListApps), apps::list_described),
        place(Method::POST, "orgs/{org}/apps", OfOrg(Do::CreateApp), apps::create_described),
        place(Method::GET, "orgs/{org}/apps/{app}", OfApp(Do::ShowApp), apps::show_described),
        place(Method::PATCH, "orgs/{org}/apps/{app}", OfApp(Do::ChangeApp), apps::change_described),
        place(
            Method::DELETE,
            "orgs/{org}/apps/{app}",
            OfApp(Do::DeleteApp),
            apps::delete_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/tokens",
            OfApp(Do::ListTokens),
            tokens::list_described,
        ),
        place(
            Method::POST,
            "orgs/{org}/apps/{app}/tokens",
            OfApp(Do::CreateToken),
            tokens::create_described,
        ),
        place(
            Method::DELETE,
            "orgs/{org}/apps/{app}/tokens/{token}",
            OfToken(Do::RevokeToken),
            tokens::revoke_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/devices",
            OfApp(Do::ListDevices),
            inspect::devices_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/registrations",
            OfApp(Do::ListRegistrations),
            inspect::registrations_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/registrations/{registration}",
            OfRegistration(Do::ShowRegistration),
            inspect::registration_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/deliveries",
            OfApp(Do::ListDeliveries),
            callbacks::deliveries_described,
        ),
        place(
            Method::POST,
            "orgs/{org}/apps/{app}/webhook-secret/rotate",
            OfApp(Do::RotateWebhookSecret),
            callbacks::rotate_described,
        ),
        place(
            Method::DELETE,
            "orgs/{org}/apps/{app}/webhook-secret/old",
            OfApp(Do::EndOldWebhookSecret),
            callbacks::end_old_described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/developer-information",
            OfApp(Do::ShowDeveloperInformation),
            developer_information::described,
        ),
        place(
            Method::GET,
            "orgs/{org}/apps/{app}/health",
            OfApp(Do::ShowHealth),
            health::show_described,
        ),
        place(
            Method::POST,
            "orgs/{org}/apps/{app}/check",
            OfApp(Do::CheckApp),
            health::check_described,
        ),
        place(Method::POST, "backup", Of(Do::BackUp), backup::described),
        place(Method::GET, "audit", Of(Do::ListAudit), audit::described),
        place(Method::GET, "openapi.json", Of(Do::ShowOpenApi), described),
    ]
};

fn described() -> Described {
    openapi::described("describe", Tag::Server)
}

/// The ids in a path.
#[derive(Default)]
struct Ids {
    org: Option<OrgId>,
    app: Option<AppId>,
    token: Option<TokenId>,
    registration: Option<RegistrationId>,
}

impl Place {
    fn is_at(&self, path: &str) -> bool {
        let (mut known, mut asked) = (self.path.split('/'), path.split('/'));
        loop {
            match (known.next(), asked.next()) {
                (None, None) => return true,
                (Some(known), Some(asked)) if known.starts_with('{') || known == asked => {}
                (Some(_), _) | (None, Some(_)) => return false,
            }
        }
    }

    /// The ids in a path that is this one's.
    fn ids(&self, path: &str) -> Result<Ids, Problem> {
        let mut ids = Ids::default();
        for (known, asked) in self.path.split('/').zip(path.split('/')) {
            match known {
                "{org}" => ids.org = Some(id(asked, OrgId::parse, "organization")?),
                "{app}" => ids.app = Some(id(asked, AppId::parse, "app")?),
                "{token}" => ids.token = Some(id(asked, TokenId::parse, "token")?),
                "{registration}" => {
                    ids.registration = Some(id(asked, RegistrationId::parse, "registration")?);
                }
                _ => {}
            }
        }
        Ok(ids)
    }

    /// The operation; `None` if its path lacks an id that it needs.
    fn operation(&self, ids: &Ids) -> Option<Operation> {
        Some(match self.make {
            Make::Of(operation) => operation,
            Make::OfOrg(make) => make(ids.org?),
            Make::OfApp(make) => make(ids.org?, ids.app?),
            Make::OfToken(make) => make(ids.org?, ids.app?, ids.token?),
            Make::OfRegistration(make) => make(ids.org?, ids.app?, ids.registration?),
        })
    }
}

fn id<T>(
    segment: &str,
    parse: impl FnOnce(&str) -> Result<T, GuidFault>,
    what: &str,
) -> Result<T, Problem> {
    parse(&percent_decoded(segment)).map_err(|_| refusal::not_found(what))
}

impl Operation {
    /// The operation of a method on a path below `/admin/v1/`.
    ///
    /// # Errors
    /// 404 when there is nothing at the path, 405 when the method is not for it.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, Problem> {
        let here = || PLACES.iter().filter(|place| place.is_at(path));
        let Some(any) = here().next() else { return Err(nothing_here()) };
        let ids = any.ids(path)?;
        match here().find(|place| place.method == *method) {
            Some(place) => place.operation(&ids).ok_or_else(nothing_here),
            None => {
                let allowed: Vec<&str> = here().map(|place| place.method.as_str()).collect();
                Err(Problem::method_not_allowed(&allowed.join(", ")))
            }
        }
    }
}

fn nothing_here() -> Problem {
    let detail = "There is nothing at this path of the administration. Begin with /admin/v1/orgs.";
    Problem::new(StatusCode::NOT_FOUND, Rule::UnknownPath, detail)
}
