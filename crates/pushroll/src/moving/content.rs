//! The digest of a store's content: of each kind the number of records and the sum of the SHA-256 of their
//! lines, modulo 2^256.
//!
//! A sum does not depend on the order, and every store has an order of its own: by it two stores are compared, whatever
//! kind they are of. It tells accidents, not forgery: whoever could write a forged file could write its digests as well.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, SHA256};
use pushroll_domain::RecordKind;

use super::lines::OfKind;

/// What is in a store or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(BTreeMap<RecordKind, Sum>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    /// The least significant first.
    words: [u64; 4],
}

impl Default for Content {
    fn default() -> Self {
        Self(RecordKind::ALL.into_iter().map(|kind| (kind, Sum::default())).collect())
    }
}

impl Content {
    /// Adds a record by its line, without the end of the line.
    pub fn add(&mut self, kind: RecordKind, line: &[u8]) {
        let sum = self.0.entry(kind).or_default();
        sum.count += 1;
        let hash = digest::digest(&SHA256, line);
        let mut carry = false;
        for (word, bytes) in sum.words.iter_mut().zip(hash.as_ref().rchunks(8)) {
            let more = bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            let (added, first) = word.overflowing_add(more);
            let (added, second) = added.overflowing_add(u64::from(carry));
            (*word, carry) = (added, first || second);
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.values().map(|sum| sum.count).sum()
    }

    /// Kind by kind, in their order.
    #[must_use]
    pub fn kinds(&self) -> Vec<OfKind> {
        let of_kind = |(kind, sum): (&RecordKind, &Sum)| OfKind {
            kind: kind.name().to_owned(),
            count: sum.count,
            content: sum.text(),
        };
        self.0.iter().map(of_kind).collect()
    }

    /// One digest of all, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = digest::Context::new(&SHA256);
        for OfKind { kind, count, content } in self.kinds() {
            hash.update(format!("{kind} {count} {content}\n").as_bytes());
        }
        hex(hash.finish().as_ref())
    }
}

impl Sum {
    fn text(&self) -> String {
        self.words.iter().rev().map(|word| format!("{word:016x}")).collect()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Content {
        let mut content = Content::default();
        lines.iter().for_each(|line| content.add(RecordKind::Org, line.as_bytes()));
        content
    }

    #[test]
    fn the_order_of_records_makes_no_difference_and_everything_else_does() {
        assert_eq!(of(&["a", "b", "c"]).digest(), of(&["c", "a", "b"]).digest());
        let mut other = of(&["a", "b"]);
        other.add(RecordKind::App, b"c");
        for different in [of(&["a", "b"]), of(&["a", "b", "c", "c"]), of(&["a", "b", "d"]), other] {
            assert_ne!(of(&["a", "b", "c"]).digest(), different.digest());
        }
    }

    #[test]
    fn sums_are_those_of_numbers_of_256_bits() {
        // python3 -c "from hashlib import sha256 as s; h=lambda t: int(s(t).hexdigest(),16)
        //   print('%064x' % ((h(b'a')+h(b'b')+h(b'c')+h(b'd')) % 2**256))"
        assert_eq!(of(&["a", "b", "c", "d"]).kinds()[0].content, SUM_OF_A_TO_D);
        assert_eq!(of(&[]).kinds()[0].content, "0".repeat(64));
    }

    const SUM_OF_A_TO_D: &str = "4fe4d39fb795a880a08985622da33938d0b1eff09fb7f27ba1767adf5cda3202";
}
