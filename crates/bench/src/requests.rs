//! The requests of each endpoint, written into a buffer: heads are made once, and every field has a
//! length that is known before.

use std::ops::RangeInclusive;

use crate::data::{
    APNS_CHARS, DeviceOf, FCM_CHARS, Fate, GUID_CHARS, Kind, Mix, Random, append_user, registration,
};
use crate::load::{Next, Source};

/// An organization with an app and a token in a server.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// The organization's id.
    pub org: String,
    /// The app's id.
    pub app: String,
    /// The API token.
    pub token: String,
}

/// What a register request asks for beside its devices.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Whether the outcome can be asked for.
    pub tracked: bool,
    /// A URL to be told the outcome.
    pub callback_url: Option<String>,
}

fn head(path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}content-length: "
    )
}

fn device_path(account: &Account, call: &str) -> String {
    format!("/api/v1.0/orgs/{}/pushdeviceregistration/{call}", account.org)
}

/// The numbers that one thread of the generator uses: every n-th from a first one.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    next: u64,
    step: u64,
    end: u64,
}

impl Numbers {
    /// For each of so many threads its own part of these numbers.
    pub fn parts(range: std::ops::Range<u64>, threads: usize) -> Vec<Self> {
        let step = threads as u64;
        (0..step).map(|n| Self { next: range.start + n, step, end: range.end }).collect()
    }

    /// The number that is drawn next.
    pub const fn next(&self) -> u64 {
        self.next
    }

    fn draw(&mut self) -> Option<u64> {
        let number = self.next;
        (number < self.end).then(|| {
            self.next += self.step;
            number
        })
    }
}

/// The most ids that are kept.
const MOST_GIVEN: usize = 200_000;

/// A registration's number and the id that the server gave it.
pub type Given = (u64, String);

/// Registrations, one in each request, or so many in each.
pub struct Register {
    head: String,
    app_and_token: [String; 2],
    /// The numbers that are left.
    pub numbers: Numbers,
    batch: usize,
    mix: Mix,
    /// Of how many requests the ids in the answer are kept; 0 keeps none.
    keep_one_in: u64,
    /// What was kept.
    pub given: Vec<Given>,
    in_batch: Vec<u64>,
}

impl Register {
    /// Registrations of `numbers`, `batch` in each request (1: as a single one).
    pub fn new(
        account: &Account,
        numbers: Numbers,
        batch: usize,
        mix: Mix,
        wishes: &Wishes,
    ) -> Self {
        let path = device_path(account, if batch == 1 { "devices" } else { "devices/batch" });
        let mut more = String::new();
        if wishes.tracked {
            more.push_str("x-ms-track-registration: true\r\n");
        }
        if let Some(url) = &wishes.callback_url {
            more.push_str(&format!("x-ms-callback-url: {url}\r\n"));
        }
        let before = |kind| {
            format!(
                "{{\"MobileAppId\":\"{}\",\"ApiToken\":\"{}\",\"{kind}\":\"",
                account.app, account.token
            )
        };
        Self {
            head: head(&path, &more),
            app_and_token: [before("ApnsDeviceToken"), before("FcmDeviceToken")],
            numbers,
            batch,
            mix,
            keep_one_in: 0,
            given: Vec::new(),
            in_batch: Vec::with_capacity(batch),
        }
    }

    /// Keeps the ids of every so many requests, in [`Register::given`].
    pub fn keeping(self, one_in: u64) -> Self {
        Self { keep_one_in: one_in, ..self }
    }

    fn append_item(&self, device: &DeviceOf, body: &mut Vec<u8>) {
        body.extend_from_slice(self.app_and_token[device.kind as usize].as_bytes());
        device.append_token(body);
        body.extend_from_slice(USER_PART);
        device.append_user(body);
        body.extend_from_slice(b"\"}");
    }

    fn item_bytes(&self, device: &DeviceOf) -> usize {
        let token = match device.kind {
            Kind::Apns => APNS_CHARS,
            Kind::Fcm => FCM_CHARS,
        };
        let before = self.app_and_token[device.kind as usize].len();
        before + token + USER_PART.len() + GUID_CHARS + 2
    }
}

const USER_PART: &[u8] = b"\",\"UserId\":\"";

impl Source for Register {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        self.in_batch.clear();
        while self.in_batch.len() < self.batch {
            let Some(number) = self.numbers.draw() else { break };
            self.in_batch.push(number);
        }
        let Some(&first) = self.in_batch.first() else { return Next::Over };
        let devices = self.in_batch.iter().map(|number| registration(*number, self.mix).0);
        request.extend_from_slice(self.head.as_bytes());
        if self.batch == 1 {
            let device = registration(first, self.mix).0;
            append_length(self.item_bytes(&device), request);
            self.append_item(&device, request);
            return Next::Request(first);
        }
        // Brackets and commas: one for each item and one more.
        let bytes: usize = devices.clone().map(|device| self.item_bytes(&device) + 1).sum();
        append_length(bytes + 1, request);
        for (index, device) in devices.enumerate() {
            request.push(if index == 0 { b'[' } else { b',' });
            self.append_item(&device, request);
        }
        request.push(b']');
        Next::Request(first)
    }

    fn heard(&mut self, first: u64, status: u16, body: &[u8]) {
        let one_in = self.keep_one_in;
        if one_in == 0
            || self.given.len() >= MOST_GIVEN
            || status != 202
            || !(first / self.batch as u64).is_multiple_of(one_in)
        {
            return;
        }
        let ids = std::str::from_utf8(body).unwrap_or_default().split('"');
        let ids = ids.filter(|text| text.len() == GUID_CHARS);
        let numbers = (0..).map(|index| first + index * self.numbers.step);
        self.given.extend(numbers.zip(ids.map(str::to_owned)));
    }
}

fn append_length(bytes: usize, request: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut from, mut left) = (digits.len(), bytes);
    while left > 0 || from == digits.len() {
        from -= 1;
        digits[from] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    request.extend_from_slice(&digits[from..]);
    request.extend_from_slice(b"\r\n\r\n");
}

/// Status queries of ids that are drawn from these.
pub struct AskStatus {
    head: String,
    tail: String,
    ids: std::sync::Arc<Vec<String>>,
    each: usize,
    random: Random,
}

impl AskStatus {
    /// Queries of `each` ids.
    pub fn new(account: &Account, ids: std::sync::Arc<Vec<String>>, each: usize) -> Self {
        let Account { app, token, .. } = account;
        Self {
            head: head(&device_path(account, "devices/status/"), ""),
            tail: format!("],\"MobileAppId\":\"{app}\",\"ApiToken\":\"{token}\"}}"),
            ids,
            each,
            random: Random(1),
        }
    }
}

impl Source for AskStatus {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        const BEFORE: &[u8] = b"{\"RegistrationRequestIds\":";
        request.extend_from_slice(self.head.as_bytes());
        let ids = self.each * (GUID_CHARS + 3);
        append_length(BEFORE.len() + ids + self.tail.len(), request);
        request.extend_from_slice(BEFORE);
        for index in 0..self.each {
            let drawn = self.random.below(self.ids.len() as u64);
            request.extend_from_slice(if index == 0 { b"[\"" } else { b",\"" });
            request.extend_from_slice(self.ids[drawn as usize].as_bytes());
            request.push(b'"');
        }
        request.extend_from_slice(self.tail.as_bytes());
        Next::Request(0)
    }
}

/// Queries for the devices of one user, drawn from all.
pub struct AskDevices {
    before: String,
    after: String,
    users: u64,
    random: Random,
}

impl AskDevices {
    /// Queries about the first so many users.
    pub fn new(account: &Account, admin_token: &str, users: u64) -> Self {
        let Account { org, app, .. } = account;
        Self {
            before: format!("GET /admin/v1/orgs/{org}/apps/{app}/devices?user_id="),
            after: format!(
                " HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {admin_token}\r\n\r\n"
            ),
            users,
            random: Random(2),
        }
    }
}

impl Source for AskDevices {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        request.extend_from_slice(self.before.as_bytes());
        append_user(self.random.below(self.users), request);
        request.extend_from_slice(self.after.as_bytes());
        Next::Request(0)
    }
}

/// Cleanups of users, one in each request, or so many in each.
pub struct CleanUsers {
    head: String,
    before: String,
    numbers: Numbers,
    batch: usize,
}

impl CleanUsers {
    /// Cleanups of all devices of the users with these numbers, `batch` in each request (1: as a single one).
    pub fn new(account: &Account, users: Numbers, batch: usize) -> Self {
        let Account { app, token, .. } = account;
        let call = if batch == 1 { "devices/cleanup" } else { "devices/cleanup/batch" };
        Self {
            head: head(&device_path(account, call), ""),
            before: format!("{{\"MobileAppId\":\"{app}\",\"ApiToken\":\"{token}\",\"UserId\":\""),
            numbers: users,
            batch,
        }
    }
}

impl Source for CleanUsers {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        let users = std::iter::from_fn(|| self.numbers.draw()).take(self.batch);
        let users: Vec<u64> = users.collect();
        let Some(&first) = users.first() else { return Next::Over };
        request.extend_from_slice(self.head.as_bytes());
        let item = self.before.len() + GUID_CHARS + 2;
        let is_batch = self.batch > 1;
        // Brackets and commas: one for each item and one more.
        let around = if is_batch { users.len() + 1 } else { 0 };
        append_length(item * users.len() + around, request);
        for (index, user) in users.into_iter().enumerate() {
            if is_batch {
                request.push(if index == 0 { b'[' } else { b',' });
            }
            request.extend_from_slice(self.before.as_bytes());
            append_user(user, request);
            request.extend_from_slice(b"\"}");
        }
        if is_batch {
            request.push(b']');
        }
        Next::Request(first)
    }
}

/// What a registration with this fate may have come to, as a status query says it.
pub fn expected(fate: Fate) -> &'static [&'static str] {
    match fate {
        Fate::Stored => &["Success"],
        Fate::Dead => &["DryRunSendingFailed"],
        // The earlier one may have had a dead token, or have been left out by its thread.
        Fate::Repeat => &["DuplicateExists", "DryRunSendingFailed", "Success"],
    }
}

/// Ids of a status query that its body may have.
pub const STATUS_IDS: RangeInclusive<usize> = 1..=1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account { org: "o".into(), app: "a".into(), token: "t".into() }
    }

    fn body(request: &[u8]) -> &str {
        let text = std::str::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.split_once("content-length: ").unwrap().1;
        assert_eq!(length.split("\r\n").next().unwrap(), body.len().to_string());
        body
    }

    #[test]
    fn bodies_are_json_of_the_length_that_is_told() {
        let mut request = Vec::new();
        let wishes = Wishes { tracked: true, callback_url: Some("http://x/".into()) };
        for batch in [1, 7] {
            let numbers = Numbers::parts(0..100, 1)[0];
            let mut source = Register::new(&account(), numbers, batch, Mix::Fleet, &wishes);
            let mut items = 0;
            loop {
                request.clear();
                if source.next(&mut request) == Next::Over {
                    break;
                }
                let value: serde_json::Value = serde_json::from_str(body(&request)).unwrap();
                items += value.as_array().map_or(1, Vec::len);
            }
            assert_eq!(items, 100);
        }
        request.clear();
        let ids = std::sync::Arc::new(vec!["0".repeat(GUID_CHARS)]);
        AskStatus::new(&account(), ids, 3).next(&mut request);
        serde_json::from_str::<serde_json::Value>(body(&request)).unwrap();
        for (batch, items) in [(1, None), (3, Some(3)), (9, Some(5))] {
            request.clear();
            CleanUsers::new(&account(), Numbers::parts(0..5, 1)[0], batch).next(&mut request);
            let value: serde_json::Value = serde_json::from_str(body(&request)).unwrap();
            assert_eq!(value.as_array().map(Vec::len), items);
        }
    }

    #[test]
    fn threads_share_the_numbers_without_overlap() {
        let mut all: Vec<u64> = Vec::new();
        for mut part in Numbers::parts(10..33, 3) {
            all.extend(std::iter::from_fn(|| part.draw()));
        }
        all.sort_unstable();
        assert_eq!(all, (10..33).collect::<Vec<_>>());
    }

    #[test]
    fn ids_in_answers_are_kept_with_their_numbers() {
        let numbers = Numbers::parts(4..20, 2)[0];
        let wishes = Wishes::default();
        let mut source = Register::new(&account(), numbers, 2, Mix::Fleet, &wishes).keeping(1);
        let id = "0".repeat(GUID_CHARS);
        let answer = format!(
            "[{{\"RegistrationRequestId\":\"{id}\"}},{{\"RegistrationRequestId\":\"{id}\"}}]"
        );
        source.heard(4, 202, answer.as_bytes());
        assert_eq!(source.given, [(4, id.clone()), (6, id)]);
    }
}
