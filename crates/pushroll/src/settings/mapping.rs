//! From the settings of the program to those of its parts: every field is named, so that a new one can't
//! be forgotten where it matters.

use std::time::Duration;

use pushroll_domain::{Backoff, CallbackRetries};
use pushroll_engine::{
    CallbackLimits, EngineSettings, RateLimit, RequestLimits, VerificationLimits,
};
use pushroll_http_api::HttpSettings;
use pushroll_providers::ProviderSettings;
use pushroll_store_embedded::EmbeddedSettings;
use pushroll_store_postgres::PostgresSettings;
use pushroll_webhook::{CallbackSettings, NameSource};

use super::{EmbeddedStore, PostgresStore, Settings};

/// The settings of the parts, but for the store's.
pub(crate) struct SiblingSettings {
    pub engine: EngineSettings,
    pub http: HttpSettings,
    pub providers: ProviderSettings,
    pub callbacks: CallbackSettings,
}

impl Settings {
    pub(crate) fn for_siblings(&self) -> SiblingSettings {
        SiblingSettings {
            engine: self.engine(),
            http: self.http(),
            providers: self.providers(),
            callbacks: self.callbacks(),
        }
    }

    fn engine(&self) -> EngineSettings {
        let Self { limits, verification, callbacks, .. } = self;
        let by_organization = limits.by_organization_per_second.map(|per_second| RateLimit {
            per_second,
            burst: limits.by_organization_burst.unwrap_or(per_second),
        });
        EngineSettings {
            strict_tokens: self.strict_tokens,
            requests: RequestLimits {
                bad_tokens_by_source: RateLimit {
                    per_second: limits.bad_tokens_per_second,
                    burst: limits.bad_tokens_burst,
                },
                sources_told_apart: limits.bad_tokens_addresses,
                by_organization,
                waiting_per_app: limits.waiting_per_app,
                apns_token_chars: limits.apns_token_chars,
                fcm_token_chars: limits.fcm_token_chars,
                devices_per_user: limits.devices_per_user,
            },
            verification: VerificationLimits {
                in_memory: verification.in_memory,
                in_memory_per_lane: verification.in_memory_per_app,
                busy_requests: verification.busy_requests,
                in_memory_when_busy: verification.in_memory_when_busy,
                dry_runs_per_lane: verification.dry_runs_per_app,
                backoff: Backoff {
                    base: verification.retry_base,
                    longest: verification.retry_longest,
                    window: verification.retry_window,
                },
                paused: verification.paused,
            },
            callbacks: CallbackLimits {
                under_way: callbacks.under_way,
                under_way_per_host: callbacks.under_way_per_host,
                // Twice what it can take, and a moment to note what became of it.
                lost_after: callbacks.timeout * 2 + Duration::from_secs(30),
                retry_waits: Backoff {
                    base: callbacks.retry_base,
                    longest: callbacks.retry_longest,
                    window: CallbackRetries::LONGEST_WINDOW,
                },
                retrying_per_app: callbacks.retrying_per_app,
                signature_encoding: callbacks.signature_encoding,
            },
        }
    }

    fn http(&self) -> HttpSettings {
        let limits = &self.limits;
        HttpSettings {
            connections: limits.connections,
            requests_in_flight: limits.in_flight_requests,
            header_bytes: limits.header_bytes,
            tls_handshake_timeout: limits.tls_handshake_timeout,
            header_timeout: limits.header_timeout,
            body_bytes: limits.body_bytes,
            body_timeout: limits.body_timeout,
            write_timeout: limits.write_timeout,
            idle_timeout: limits.idle_timeout,
            trusted_proxies: limits.trusted_proxies.clone(),
            ..HttpSettings::default()
        }
    }

    fn providers(&self) -> ProviderSettings {
        let providers = &self.providers;
        ProviderSettings {
            apns_production_url: providers.apns_production.clone(),
            apns_sandbox_url: providers.apns_sandbox.clone(),
            fcm_url: providers.fcm.clone(),
            extra_ca_file: providers.ca_file.clone(),
            proxy: providers.proxy.clone(),
            token_uris: providers.token_uris.clone(),
            connections_per_credential: providers.connections_per_app,
            max_connections: providers.connections,
            connect_timeout: providers.connect_timeout,
            dry_run_timeout: providers.dry_run_timeout,
            ping_interval: providers.ping_after,
            ping_timeout: providers.ping_timeout,
            idle_close: providers.idle_close,
            ..ProviderSettings::default()
        }
    }

    fn callbacks(&self) -> CallbackSettings {
        let callbacks = &self.callbacks;
        CallbackSettings {
            allow_http: callbacks.allow_http,
            allowed_hosts: callbacks.allow_hosts.clone(),
            allowed_ranges: callbacks.allow_ranges.clone(),
            extra_ports: callbacks.ports.clone(),
            timeout: callbacks.timeout,
            extra_ca_file: callbacks.ca_file.clone(),
            names: callbacks.name_server.map_or(NameSource::System, NameSource::Server),
            ..CallbackSettings::default()
        }
    }

    pub(crate) fn postgres(&self, store: &PostgresStore) -> PostgresSettings {
        let PostgresStore {
            url,
            password,
            tls,
            node_name,
            connections,
            connect_timeout,
            statement_timeout,
            lease,
        } = store.clone();
        PostgresSettings {
            password,
            tls,
            node: node_name,
            connections,
            connect_timeout,
            statement_timeout,
            lease,
            outcome_retention: self.outcomes.retention,
            deliveries_logged: self.callbacks.logged_per_app,
            audit_entries: self.audit.entries,
            ..PostgresSettings::new(url)
        }
    }

    pub(crate) fn embedded(&self, store: &EmbeddedStore) -> EmbeddedSettings {
        EmbeddedSettings {
            block_cache_bytes: store.block_cache_bytes,
            write_buffer_bytes: store.write_buffer_bytes,
            wal_bytes: store.wal_bytes,
            wal_ahead_bytes: store.wal_ahead_bytes,
            max_open_files: store.open_files,
            background_jobs: store.background_jobs,
            table_bytes_per_second: store.table_bytes_per_second,
            commit_queue_items: store.commit_queue,
            outcome_retention: self.outcomes.retention,
            deliveries_logged: self.callbacks.logged_per_app,
            audit_entries: self.audit.entries,
            ..EmbeddedSettings::new(&store.path)
        }
    }
}
