//! A queue between one giver and a few worker threads, which may take all that waits at once.
//!
//! Its bound is the giver's: a lane has at most one request of each kind under way per shard.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The queue; closed when its owner is done.
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), wake: Condvar::new() }
    }

    /// Adds work; after `close` it is dropped, for nobody waits for its result.
    pub(crate) fn push_all(&self, work: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        if !state.closed {
            state.waiting.extend(work);
            self.wake.notify_one();
        }
    }

    /// Waits for work and takes it all. `None` once closed.
    pub(crate) fn take_all(&self) -> Option<VecDeque<T>> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed { None } else { Some(std::mem::take(&mut state.waiting)) }
    }

    /// Takes all that waits, which may be nothing.
    pub(crate) fn take_waiting(&self) -> VecDeque<T> {
        std::mem::take(&mut self.lock().waiting)
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
