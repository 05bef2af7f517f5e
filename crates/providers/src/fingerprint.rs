//! What tells credentials apart.

use aws_lc_rs::digest::{Context, SHA256};
use pushroll_domain::Fingerprint;

/// The fingerprint of these parts, in this order.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut print = [0; 16];
    print.copy_from_slice(&hash.finish().as_ref()[..16]);
    Fingerprint(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_by_where_they_end() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
    }
}
