//! Which spans led to what is not in hand now: registrations that wait in the store, and callbacks that are
//! not begun. In memory only, and bounded: what is forgotten begins a trace of its own.

use std::collections::HashMap;
use std::mem;

use parking_lot::Mutex;
use pushroll_domain::{RegistrationId, SpanContext};

/// The most that is remembered in each of two halves; the older half goes when the newer is full.
const HALF: usize = 8_192;

/// The spans that led to what is not in hand now.
#[derive(Default)]
pub(crate) struct Traced(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    newer: HashMap<RegistrationId, SpanContext>,
    older: HashMap<RegistrationId, SpanContext>,
}

impl Traced {
    /// Remembers the span, if there is one.
    pub(crate) fn keep(&self, id: RegistrationId, span: Option<SpanContext>) {
        let Some(span) = span else { return };
        let mut halves = self.0.lock();
        if halves.newer.len() >= HALF {
            halves.older = mem::take(&mut halves.newer);
        }
        halves.newer.insert(id, span);
    }

    /// The span that was remembered last, if it still is. It is forgotten then.
    pub(crate) fn take(&self, id: RegistrationId) -> Option<SpanContext> {
        let mut halves = self.0.lock();
        let older = halves.older.remove(&id);
        halves.newer.remove(&id).or(older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> RegistrationId {
        RegistrationId::from_bytes((number as u128).to_be_bytes())
    }

    fn span(number: usize) -> SpanContext {
        SpanContext { trace: (number as u128).to_be_bytes(), span: [1; 8] }
    }

    #[test]
    fn the_last_span_of_each_is_remembered_until_it_is_taken_and_the_oldest_are_forgotten() {
        let traced = Traced::default();
        traced.keep(id(0), None);
        assert_eq!(traced.take(id(0)), None);
        for number in 0..3 * HALF {
            traced.keep(id(number), Some(span(number)));
        }
        assert_eq!(traced.take(id(0)), None);
        traced.keep(id(HALF + 1), Some(span(7)));
        assert_eq!(traced.take(id(HALF + 1)), Some(span(7)));
        assert_eq!(traced.take(id(HALF + 1)), None);
        assert_eq!(traced.take(id(3 * HALF - 1)), Some(span(3 * HALF - 1)));
        let halves = traced.0.lock();
        assert!(halves.newer.len() + halves.older.len() <= 2 * HALF);
    }
}
