//! Adding to outcomes what is found out later.

use pushroll_domain::{AppId, CallbackReport, Ended, RegistrationId, StoreError};

use crate::columns::Column;
use crate::group::Group;
use crate::keys;
use crate::rows;

pub(crate) fn add_hint(
    group: &mut Group<'_>,
    app: AppId,
    id: RegistrationId,
    hint: String,
) -> Result<(), StoreError> {
    amend(group, app, id, |ended| ended.hint = Some(hint))
}

/// Notes what became of a registration's callback.
pub(super) fn report(
    group: &mut Group<'_>,
    app: AppId,
    id: RegistrationId,
    report: CallbackReport,
) -> Result<(), StoreError> {
    amend(group, app, id, |ended| ended.callback = Some(report))
}

fn amend(
    group: &mut Group<'_>,
    app: AppId,
    id: RegistrationId,
    change: impl FnOnce(&mut Ended),
) -> Result<(), StoreError> {
    let key = keys::outcome(app, id);
    let ended = group.find(Column::Outcomes, &key, |row| rows::decode_outcome(app, id, row))?;
    let Some(mut ended) = ended else { return Ok(()) };
    change(&mut ended);
    group.put(Column::Outcomes, key, rows::encode_outcome(&ended));
    Ok(())
}
