//! Starting and stopping a simulator, and where it is to be found.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::server::danger::ClientCertVerifier;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::{Authority, CA_FILE, ServerCertificate};
use crate::control;
use crate::controls::Controls;
use crate::credentials::{ApnsKey, BUNDLE_ID, Credentials};
use crate::directory::{Directory, Readable};
use crate::google::TOKEN_PATH;
use crate::provider::Provider;
use crate::push_certificate::{self, P12_PASSWORD, PushCertificate, PushCertificateOrder};
use crate::settings::{Ports, SimulatorSettings};
use crate::transport::{AnyCertificate, Listener, Site, bind};
use crate::world::World;

const PORTS_FILE: &str = "ports.json";
const APP_FILE: &str = "app.json";
/// The app with a certificate in place of the key.
const APP_WITH_CERTIFICATE_FILE: &str = "app-with-certificate.json";
const P12_FILE: &str = "push-certificate.p12";
/// The name of the app in `app.json`.
pub const APP_NAME: &str = "Simulated app";
/// How long a shutdown waits for connections to notice.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(5);

/// A running simulator. It derefs to [`Controls`]; dropping it stops it.
pub struct Simulator {
    controls: Controls,
    whereabouts: Arc<Whereabouts>,
    authority: Authority,
    world: Arc<World>,
    tracker: TaskTracker,
    stop_control: CancellationToken,
}

/// Where everything is.
pub(crate) struct Whereabouts {
    pub(crate) apns_production: String,
    pub(crate) apns_sandbox: String,
    pub(crate) fcm: String,
    pub(crate) token_uri: String,
    pub(crate) control: String,
    pub(crate) ca_pem_path: PathBuf,
    pub(crate) app_body: Value,
    /// The push certificate's .p12 in base64.
    p12_base64: String,
}

impl Simulator {
    /// Opens the ports and writes `ca.pem` and `app.json` into the directory.
    ///
    /// What the directory holds already (authority, keys) is used again, so that an app posted
    /// before a restart is still known after it; so are its ports, where the settings leave them
    /// free and nobody else has taken them.
    ///
    /// # Errors
    /// A port is taken, or the directory can't be written or holds damaged files.
    pub async fn start(settings: SimulatorSettings) -> Result<Self> {
        let directory = Directory::open(&settings.dir)?;
        let opened = {
            let directory = directory.clone();
            // Making an RSA key takes a good part of a second.
            tokio::task::spawn_blocking(move || -> Result<_> {
                let authority = Authority::open(&directory)?;
                let credentials = Credentials::open(&directory)?;
                let key = credentials.push_certificate_key();
                let push =
                    push_certificate::issue(&authority, key, &PushCertificateOrder::default())?;
                Ok((authority, credentials, push))
            })
        };
        let (authority, credentials, push) = opened.await??;
        let clients = authority.client_verifier()?;

        let last: Ports = directory.read_json(PORTS_FILE)?.unwrap_or_default();
        let (wanted, address) = (settings.ports, settings.address);
        let production = bind(address, wanted.apns_production, last.apns_production).await?;
        let sandbox = bind(address, wanted.apns_sandbox, last.apns_sandbox).await?;
        let google = bind(address, wanted.fcm, last.fcm).await?;
        let control = bind(address, wanted.control, last.control).await?;
        let ports = Ports {
            apns_production: production.local_addr()?.port(),
            apns_sandbox: sandbox.local_addr()?.port(),
            fcm: google.local_addr()?.port(),
            control: control.local_addr()?.port(),
        };
        let url =
            |scheme: &str, port: u16| format!("{scheme}://{}", SocketAddr::new(address, port));
        let token_uri = format!("{}{TOKEN_PATH}", url("https", ports.fcm));
        let whereabouts = Arc::new(Whereabouts {
            apns_production: url("https", ports.apns_production),
            apns_sandbox: url("https", ports.apns_sandbox),
            fcm: url("https", ports.fcm),
            control: url("http", ports.control),
            ca_pem_path: directory.path(CA_FILE),
            app_body: app_body(&credentials, &token_uri, APP_NAME),
            p12_base64: STANDARD.encode(&push.p12),
            token_uri: token_uri.clone(),
        });
        directory.write_json(PORTS_FILE, &ports, Readable::ByAll)?;
        credentials.write_files(&directory, &token_uri)?;
        directory.write_json(APP_FILE, &whereabouts.app_body, Readable::ByOwner)?;
        directory.write(P12_FILE, &push.p12, Readable::ByOwner)?;
        let with_certificate = with_certificate(whereabouts.app_body.clone(), &whereabouts);
        directory.write_json(APP_WITH_CERTIFICATE_FILE, &with_certificate, Readable::ByOwner)?;

        let push_certificates = Some(Arc::clone(&clients));
        let world = Arc::new(World::new(&settings, credentials, push_certificates, token_uri));
        let tracker = TaskTracker::new();
        let listen = |socket, site: Site| {
            let any: Arc<dyn ClientCertVerifier> =
                Arc::new(AnyCertificate { inner: Arc::clone(&clients) });
            let clients = site.asks_for_certificates().then_some(any);
            let tls = authority.server_config(site.protocols(), clients)?;
            Listener::start(socket, site, tls, Arc::clone(&world), &tracker)
        };
        let controls = Controls::new(
            Arc::clone(&world),
            listen(production, Site::Apns(Provider::ApnsProduction))?,
            listen(sandbox, Site::Apns(Provider::ApnsSandbox))?,
            listen(google, Site::Google)?,
        );
        let stop_control = CancellationToken::new();
        tracker.spawn(control::serve(
            control,
            controls.clone(),
            Arc::clone(&whereabouts),
            stop_control.clone(),
            tracker.clone(),
        ));
        Ok(Self { controls, whereabouts, authority, world, tracker, stop_control })
    }

    /// `https://…` of APNs' production environment, without a path.
    pub fn apns_production_url(&self) -> &str {
        &self.whereabouts.apns_production
    }

    /// `https://…` of APNs' sandbox environment, without a path.
    pub fn apns_sandbox_url(&self) -> &str {
        &self.whereabouts.apns_sandbox
    }

    /// `https://…` of FCM, without a path.
    pub fn fcm_url(&self) -> &str {
        &self.whereabouts.fcm
    }

    /// The token endpoint, as the service account names it.
    pub fn token_uri(&self) -> &str {
        &self.whereabouts.token_uri
    }

    /// `http://…` of the control endpoint, without a path.
    pub fn control_url(&self) -> &str {
        &self.whereabouts.control
    }

    /// The file with the authority that clients have to trust.
    pub fn ca_pem_path(&self) -> &Path {
        &self.whereabouts.ca_pem_path
    }

    /// The authority that clients have to trust, in PEM.
    pub fn ca_pem(&self) -> &str {
        self.authority.ca_pem()
    }

    /// The APNs key that the simulator knows.
    pub fn apns_key(&self) -> &ApnsKey {
        self.world.credentials.apns_key()
    }

    /// An APNs key of the same team that the simulator does *not* know.
    pub fn unknown_apns_key(&self) -> &ApnsKey {
        self.world.credentials.unknown_apns_key()
    }

    /// The bundle id of the app: its APNs topic.
    pub fn bundle_id(&self) -> &'static str {
        BUNDLE_ID
    }

    /// The service account as the JSON that Google hands out.
    pub fn service_account(&self) -> Value {
        self.world.credentials.service_account(&self.whereabouts.token_uri)
    }

    /// A body for `POST /admin/v1/orgs/{org}/apps`: an app for both platforms whose credentials the
    /// simulator accepts, in production mode.
    pub fn app_body(&self, name: &str) -> Value {
        app_body(&self.world.credentials, &self.whereabouts.token_uri, name)
    }

    /// The same app with a push certificate in place of the key.
    pub fn app_body_with_certificate(&self, name: &str) -> Value {
        with_certificate(self.app_body(name), &self.whereabouts)
    }

    /// A push certificate that the simulator takes, or, as ordered, does not.
    ///
    /// # Errors
    /// When a certificate can't be what was ordered.
    pub fn issue_push_certificate(&self, order: &PushCertificateOrder) -> Result<PushCertificate> {
        let key = self.world.credentials.push_certificate_key();
        push_certificate::issue(&self.authority, key, order)
    }

    /// A certificate of the simulator's authority for other servers of a test, such as receivers
    /// of callbacks. A name may be an address.
    ///
    /// # Errors
    /// There is no name, or one that no certificate can have.
    pub fn issue_server_certificate(&self, names: &[&str]) -> Result<ServerCertificate> {
        self.authority.issue(names)
    }

    /// Scripts, faults and statistics, to be cloned into tasks.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Closes every port and connection; returns when that is done, or after five seconds.
    pub async fn shutdown(self) {
        self.stop();
        self.tracker.close();
        let _ = tokio::time::timeout(SHUTDOWN_DEADLINE, self.tracker.wait()).await;
    }

    fn stop(&self) {
        self.stop_control.cancel();
        self.controls.stop();
    }
}

impl Deref for Simulator {
    type Target = Controls;

    fn deref(&self) -> &Controls {
        &self.controls
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

fn with_certificate(mut body: Value, whereabouts: &Whereabouts) -> Value {
    if let Some(ios) = body["ios"].as_object_mut() {
        ios.remove("key");
        let certificate = json!({
            "p12_base64": whereabouts.p12_base64,
            "password": P12_PASSWORD,
        });
        ios.insert("certificate".to_owned(), certificate);
    }
    body
}

fn app_body(credentials: &Credentials, token_uri: &str, name: &str) -> Value {
    let key = credentials.apns_key();
    json!({
        "name": name,
        "description": "Known to the provider simulator",
        "ios": {
            "mode": "production",
            "bundle_id": BUNDLE_ID,
            "key": {"key_id": key.key_id, "team_id": key.team_id, "p8": key.p8},
        },
        "android": {"service_account": credentials.service_account(token_uri)},
    })
}
