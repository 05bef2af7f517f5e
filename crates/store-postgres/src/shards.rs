//! Which shard something belongs to, and asking for several at once.

use futures_util::future::try_join_all;
use pushroll_domain::{RegistrationId, UserKey};
use tokio_postgres::Row;

use crate::db::{Argument, Db};
use crate::faults::Fault;
use crate::statements::Statement;

/// The bits that every id carries.
const BITS: u32 = 12;
/// The most shards: one for each value of the bits.
pub const MOST_SHARDS: u16 = 1 << BITS;

/// How the rows are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shards {
    /// How many, a power of two. Fixed when the database was made.
    pub(crate) count: u16,
    /// Whether the shards lie on several servers (Citus): then every call is about one of them.
    pub(crate) distributed: bool,
}

impl Shards {
    /// Whether a database can have so many shards.
    pub(crate) fn may_be(count: u32) -> bool {
        count.is_power_of_two() && count <= u32::from(MOST_SHARDS)
    }

    pub(crate) fn of_user(self, user: &UserKey) -> i16 {
        self.of_bits(user.shard_bits())
    }

    /// `None` for an id that was never handed out.
    pub(crate) fn of_id(self, id: RegistrationId) -> Option<i16> {
        id.shard_bits().map(|bits| self.of_bits(bits))
    }

    pub(crate) fn all(self) -> impl Iterator<Item = i16> {
        (0..self.count).map(u16::cast_signed)
    }

    fn of_bits(self, bits: u16) -> i16 {
        // The top bits: a number of 12 bits and a power of two, so it fits.
        (bits >> (BITS - self.count.trailing_zeros())).cast_signed()
    }

    /// Asks a statement about these shards: in one call, or in one for each on a connection of its own turn.
    /// `arguments` makes the arguments after the first from the places of the shards asked about.
    pub(crate) async fn ask<'a>(
        self,
        db: &Db,
        statement: &Statement,
        shards: &[i16],
        arguments: impl Fn(&[usize]) -> Vec<Box<dyn tokio_postgres::types::ToSql + Sync + Send + 'a>>,
    ) -> Result<Vec<Row>, Fault> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        if !self.distributed {
            let places: Vec<usize> = (0..shards.len()).collect();
            let rest = arguments(&places);
            let mut all: Vec<Argument<'_>> = vec![&shards];
            all.extend(rest.iter().map(|one| &**one as Argument<'_>));
            return db.query(&statement.several, &all).await;
        }
        let each = shards.iter().enumerate().map(|(place, shard)| {
            let rest = arguments(&[place]);
            async move {
                let mut all: Vec<Argument<'_>> = vec![shard];
                all.extend(rest.iter().map(|one| &**one as Argument<'_>));
                db.query(&statement.one, &all).await
            }
        });
        Ok(try_join_all(each).await?.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::{AppId, UserId};

    #[test]
    fn the_shard_is_the_top_bits_of_what_every_id_carries() {
        // SPEC: this user's key begins with the bits 0x082.
        let app = AppId::from_bytes([0; 16]);
        let key = UserId::parse("profile-1").unwrap().key_in(app);
        assert_eq!(key.shard_bits(), 0x082);
        for (count, shard) in [(1, 0), (2, 0), (64, 2), (1_024, 0x20), (4_096, 0x82)] {
            let shards = Shards { count, distributed: false };
            assert_eq!(shards.of_user(&key), shard, "of {count}");
        }
    }

    #[test]
    fn a_database_has_a_power_of_two_up_to_4096_shards() {
        for count in [1, 2, 64, 4_096] {
            assert!(Shards::may_be(count), "{count}");
        }
        for count in [0, 3, 65, 8_192, 65_537] {
            assert!(!Shards::may_be(count), "{count}");
        }
    }
}
