//! The runtime that a blocking client's futures run on: one thread, which ends with the last of those who use it.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::client::Error;

pub(super) struct Engine(Option<Runtime>);

impl Engine {
    pub(super) fn start() -> Result<Self, Error> {
        if Handle::try_current().is_ok() {
            let rule = "within a tokio runtime use timberline::client::Client: a blocking one would stop its threads";
            return Err(Error::Option { option: "blocking", found: "a tokio runtime".to_owned(), rule });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("timberline-client")
            .enable_all()
            .build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| Error::Runtime { reason: error.to_string() })
    }

    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("it runs until it is dropped").block_on(future)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Waiting for its thread is not allowed everywhere; what still runs there belongs to nobody any more.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
