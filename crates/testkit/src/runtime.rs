//! The runtime that servers, simulators and receivers run in, apart from the tests' own: they live longer
//! than one test, and a test that blocks does not stop them.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime of everything that is tested against.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("served")
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// Runs work there, and waits for it.
pub(crate) async fn there<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    runtime().spawn(work).await.expect("work that does not panic")
}

/// Runs work there, and blocks until it is done.
pub(crate) fn there_blocking(work: impl Future<Output = ()> + Send + 'static) {
    let (tell, told) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        work.await;
        let _ = tell.send(());
    });
    // Work that panics drops the sender.
    let _ = told.recv();
}
