//! What lies in the data directory, seen without the server.

use std::path::Path;
use std::sync::Arc;

use pushroll::machine::SystemClock;
use pushroll_domain::{AppId, PageRequest, Store as _, UserId};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore};

use crate::app::TestApp;
use crate::host::Host;
use crate::runtime::there;

impl Host {
    /// How many devices of a user the store holds. The server must be stopped: a store has one owner.
    ///
    /// # Panics
    /// When the store can't be opened.
    pub async fn devices_in_the_store(&self, app: &TestApp, user: &str) -> usize {
        let settings = EmbeddedSettings::new(self.data_directory());
        let app = AppId::parse(&app.id).expect("an app id");
        let user = UserId::parse(user).expect("a user id");
        there(async move {
            let store = EmbeddedStore::open(settings, Arc::new(SystemClock)).expect("a store");
            let page = PageRequest { limit: 1000, after: None };
            let devices = store.devices_of_user(app, &user, page).await.expect("devices");
            store.close().await;
            devices.items.len()
        })
        .await
    }

    /// Whether any file of the data directory holds these bytes.
    ///
    /// # Panics
    /// When the directory can't be read.
    #[must_use]
    pub fn is_on_disk(&self, bytes: &[u8]) -> bool {
        holds(&self.data_directory(), bytes)
    }
}

fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).expect("a directory").any(|entry| {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            return holds(&entry.path(), bytes);
        }
        // A file may go while it is looked for.
        let content = std::fs::read(entry.path()).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}
