//! The routes of the control endpoint and the bodies they take.

use std::time::Duration;

use http::Method;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::Problem;
use crate::controls::{Controls, check_stream_limit};
use crate::faults::{ErrorRate, Silence, check_latency};
use crate::provider::Provider;
use crate::reply::{InvalidScript, Reply};
use crate::simulator::Whereabouts;
use crate::transport::Goaway;

/// Requests listed if the query does not say how many.
const DEFAULT_LISTED_REQUESTS: usize = 100;

const ROUTES: [&str; 13] = [
    "GET /",
    "GET /app",
    "GET /statistics",
    "GET /statistics/{provider}",
    "GET /statistics/{provider}/devices/{device token}",
    "GET /requests/{provider}?limit=100",
    "POST /providers/{provider}/replies",
    "PATCH /providers/{provider}/faults",
    "POST /providers/{provider}/goaway",
    "POST /providers/{provider}/reset-connections",
    "POST /expire-access-tokens",
    "PUT /clock",
    "POST /reset",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepliesBody {
    device_token: Option<String>,
    replies: Vec<Reply>,
}

/// Fields that are absent leave things as they are; null takes a fault back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    latency_ms: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    error_rate: Option<Option<ErrorRate>>,
    #[serde(default, deserialize_with = "present")]
    stream_limit: Option<Option<u32>>,
    silence: Option<Silence>,
    reject_credentials: Option<bool>,
    refuse_connections: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    offset_ms: i64,
}

fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

pub(super) async fn answer(
    head: &Parts,
    body: &[u8],
    controls: &Controls,
    whereabouts: &Whereabouts,
) -> Result<Value, Problem> {
    let path = head.uri.path().trim_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let only = |method: &'static str| match head.method.as_str() == method {
        true => Ok(()),
        false => Err(Problem::WrongMethod(method)),
    };
    match segments.as_slice() {
        [] => only("GET").map(|()| overview(whereabouts)),
        ["app"] => only("GET").map(|()| whereabouts.app_body.clone()),
        ["statistics"] => only("GET").map(|()| all_statistics(controls)),
        ["statistics", provider] => {
            only("GET")?;
            Ok(json!(controls.statistics(known(provider)?)))
        }
        ["statistics", provider, "devices", token] => {
            only("GET")?;
            let token = percent_decoded(token);
            Ok(json!({ "requests": controls.requests_of(known(provider)?, &token) }))
        }
        ["requests", provider] => {
            only("GET")?;
            Ok(json!(controls.recent_requests(known(provider)?, limit_of(head)?)))
        }
        ["providers", provider, "replies"] => {
            only("POST")?;
            let (provider, body) = (known(provider)?, read::<RepliesBody>(body)?);
            controls.script(provider, body.device_token.as_deref(), body.replies)?;
            Ok(json!({}))
        }
        ["providers", provider, "faults"] => {
            // PUT is taken too; either changes only what the body names.
            if head.method != Method::PUT {
                only("PATCH")?;
            }
            set_faults(controls, known(provider)?, read(body)?).await?;
            Ok(json!({}))
        }
        ["providers", provider, "goaway"] => {
            only("POST")?;
            let goaway = if body.is_empty() { Goaway::default() } else { read(body)? };
            controls.send_goaway(known(provider)?, goaway)?;
            Ok(json!({}))
        }
        ["providers", provider, "reset-connections"] => {
            only("POST")?;
            controls.reset_connections(known(provider)?)?;
            Ok(json!({}))
        }
        ["expire-access-tokens"] => only("POST").map(|()| {
            controls.expire_access_tokens();
            json!({})
        }),
        ["clock"] => {
            only("PUT")?;
            controls.set_clock_offset_ms(read::<ClockBody>(body)?.offset_ms)?;
            Ok(json!({}))
        }
        ["reset"] => {
            only("POST")?;
            controls.reset().await;
            Ok(json!({}))
        }
        _ => Err(Problem::NoSuchPath(format!(
            "there is no /{path}; the routes are: {}",
            ROUTES.join(", ")
        ))),
    }
}

/// All or nothing: the whole body is checked before anything is changed.
async fn set_faults(
    controls: &Controls,
    provider: Provider,
    body: FaultsBody,
) -> Result<(), Problem> {
    let needs_port = body.stream_limit.is_some()
        || body.refuse_connections.is_some()
        || body.silence == Some(Silence::Connections);
    if needs_port && provider == Provider::Oauth {
        return Err(Problem::BadInput(
            "stream_limit, refuse_connections and silent connections are faults of a port, and \
             oauth has none of its own: name fcm instead"
                .to_owned(),
        ));
    }
    body.check()?;
    if let Some(error_rate) = body.error_rate {
        controls.set_error_rate(provider, error_rate)?;
    }
    if let Some(limit) = body.stream_limit {
        controls.set_stream_limit(provider, limit)?;
    }
    if let Some(latency_ms) = body.latency_ms {
        controls.set_latency(provider, Duration::from_millis(latency_ms))?;
    }
    if let Some(silence) = body.silence {
        controls.set_silence(provider, silence)?;
    }
    if let Some(reject) = body.reject_credentials {
        controls.reject_credentials(provider, reject);
    }
    if let Some(refuse) = body.refuse_connections {
        controls.refuse_connections(provider, refuse).await?;
    }
    Ok(())
}

impl FaultsBody {
    fn check(&self) -> Result<(), InvalidScript> {
        check_latency(self.latency_ms.unwrap_or(0))?;
        check_stream_limit(self.stream_limit.flatten())?;
        self.error_rate.iter().flatten().try_for_each(ErrorRate::check)
    }
}

fn overview(whereabouts: &Whereabouts) -> Value {
    json!({
        "apns_production": whereabouts.apns_production,
        "apns_sandbox": whereabouts.apns_sandbox,
        "fcm": whereabouts.fcm,
        "token_uri": whereabouts.token_uri,
        "control": whereabouts.control,
        "ca_pem": whereabouts.ca_pem_path,
        "providers": Provider::ALL.map(Provider::name),
        "routes": ROUTES,
    })
}

fn all_statistics(controls: &Controls) -> Value {
    let named = Provider::ALL
        .map(|provider| (provider.name().to_owned(), json!(controls.statistics(provider))));
    Value::Object(Map::from_iter(named))
}

fn known(name: &str) -> Result<Provider, Problem> {
    Provider::from_name(name).ok_or_else(|| {
        let names = Provider::ALL.map(Provider::name).join(", ");
        Problem::NoSuchPath(format!("{name:?} is not a provider; they are: {names}"))
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|why| Problem::BadInput(format!("the body: {why}")))
}

fn limit_of(head: &Parts) -> Result<usize, Problem> {
    let query = head.uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "limit" {
            return value.parse().map_err(|_| {
                Problem::BadInput(format!("limit: {value:?} is not a number of requests"))
            });
        }
    }
    Ok(DEFAULT_LISTED_REQUESTS)
}

fn percent_decoded(segment: &str) -> String {
    // A plus sign means itself in a path.
    let escaped = segment.replace('+', "%2B");
    form_urlencoded::parse(format!("x={}", escaped.replace('&', "%26")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}
