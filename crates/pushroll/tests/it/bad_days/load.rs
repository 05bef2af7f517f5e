//! Clients that go on whatever happens to the server: each asks for one thing after the other, writes into
//! the ledger what it asks and what it hears, and looks for itself where it hears nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use pushroll_testkit::{Answer, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::admin::{Admin, App};
use super::caller::{Caller, NoAnswer};
use super::dice::Dice;
use super::ledger::{Deed, Device, Fate, Known, Ledger, Line, Person, Registered};
use super::patience::Patience;

/// The people that a client has in hand at a time.
const PEOPLE: usize = 8;
/// After so many deeds a person is left alone.
const DEEDS: usize = 8;
/// A server that is killed again and again is back within this time.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What the clients have in common.
pub struct Load {
    pub apps: Vec<App>,
    /// Where callbacks go, if any are wanted: a URL to which the number of the request is added.
    pub callbacks: Option<String>,
    pub ledger: Mutex<Ledger>,
    /// Registrations and cleanups answered 202 so far, by request.
    pub answered: AtomicU64,
    /// Answers 503, each of them in its form.
    pub unavailable: AtomicU64,
    /// A process to kill, and after how many answers.
    pub trap: Mutex<Option<(Pid, u64)>>,
    /// Whether every registration ends soon: no slow device token, none that is busy at first.
    pub in_haste: bool,
    /// Requests that may be sent; closed in the end.
    pub room: Semaphore,
    requests: AtomicU64,
    address: SocketAddr,
}

/// One client.
struct Client {
    load: Arc<Load>,
    caller: Caller,
    dice: Dice,
    people: Vec<Figure>,
    number: u64,
}

/// A person, and the devices that he has.
struct Figure {
    person: Person,
    devices: Vec<Device>,
    deeds: usize,
}

impl Load {
    pub fn new(address: SocketAddr, apps: Vec<App>, callbacks: Option<String>) -> Arc<Self> {
        Arc::new(Self::of(address, apps, callbacks))
    }

    /// A load whose registrations all end soon.
    pub fn in_haste(address: SocketAddr, apps: Vec<App>, callbacks: Option<String>) -> Arc<Self> {
        Arc::new(Self { in_haste: true, ..Self::of(address, apps, callbacks) })
    }

    fn of(address: SocketAddr, apps: Vec<App>, callbacks: Option<String>) -> Self {
        Self {
            apps,
            callbacks,
            address,
            in_haste: false,
            ledger: Mutex::default(),
            answered: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            trap: Mutex::new(None),
            room: Semaphore::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Starts so many clients, who go on until [`Load::room`] is closed.
    pub fn clients(self: &Arc<Self>, count: u64, dice: &mut Dice) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for number in 0..count {
            let client = Client {
                load: Arc::clone(self),
                caller: Caller::of(self.address),
                dice: dice.split(),
                people: Vec::new(),
                number: number << 32,
            };
            clients.spawn(client.go_on());
        }
        clients
    }

    /// Waits until so many more requests have been answered 202.
    pub async fn answers(&self, more: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        self.room.add_permits(usize::try_from(more).expect("a small number"));
        within(BACK_WITHIN, "requests are answered", async || {
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until so many more requests have been answered 503.
    pub async fn unavailable_answers(&self, more: u64) {
        let wanted = self.unavailable.load(Ordering::Relaxed) + more;
        within(BACK_WITHIN, "requests are answered 503", async || {
            // A disk that is full may still have room that was set aside. A client that was answered 503
            // looks for itself until the server can serve again.
            self.room.add_permits(20_usize.saturating_sub(self.room.available_permits()));
            (self.unavailable.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    fn count_answer(&self) {
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        let mut trap = self.trap.lock();
        if let Some((process, at)) = *trap
            && answered >= at
        {
            *trap = None;
            kill_process(process, Signal::KILL).expect("a process that nobody has waited for");
        }
    }
}

impl Client {
    async fn go_on(mut self) {
        let load = Arc::clone(&self.load);
        while let Ok(permit) = load.room.acquire().await {
            permit.forget();
            while self.people.len() < PEOPLE {
                let figure = self.new_figure();
                self.people.push(figure);
            }
            match self.dice.below(100) {
                0..50 => self.register(1).await,
                50..80 => {
                    let items = 2 + self.dice.below(12);
                    self.register(items).await;
                }
                _ => self.clean_up().await,
            }
            self.people.retain(|figure| figure.deeds < DEEDS);
        }
    }

    fn new_figure(&mut self) -> Figure {
        self.number += 1;
        let app = self.dice.below(self.load.apps.len() as u64) as usize;
        let person = Person { app, user: format!("person {:x}", self.number) };
        let dice = &mut self.dice;
        let devices = if dice.percent(4) {
            (0..DEEDS).map(|_| Device::good(dice, Fate::GoodInACrowd)).collect()
        } else {
            (0..=dice.below(3)).map(|_| Device::any(dice, self.load.in_haste)).collect()
        };
        Figure { person, devices, deeds: 0 }
    }

    /// Registers so many devices in one request.
    async fn register(&mut self, items: u64) {
        let request = self.load.requests.fetch_add(1, Ordering::Relaxed);
        let callback = self.load.callbacks.as_ref().filter(|_| self.dice.percent(70));
        let callback = callback.map(|url| format!("{url}{request}"));
        let mut bodies = Vec::new();
        let mut lines = Vec::new();
        for _ in 0..items {
            let chosen = self.dice.below(PEOPLE as u64) as usize;
            let figure = &mut self.people[chosen];
            let device = match figure.devices[0].fate {
                // Everyone of a crowd comes once.
                Fate::GoodInACrowd if figure.deeds == figure.devices.len() => continue,
                Fate::GoodInACrowd => figure.devices[figure.deeds].clone(),
                _ => {
                    let chosen = self.dice.below(figure.devices.len() as u64) as usize;
                    figure.devices[chosen].clone()
                }
            };
            figure.deeds += 1;
            bodies.push(body(&self.load.apps, &figure.person, &device));
            let callback = callback.is_some();
            let registered = Registered { request, device, callback, known: Known::Unknown };
            let mut ledger = self.load.ledger.lock();
            lines.push(ledger.write(&figure.person, Deed::Registered(registered)));
        }
        if bodies.is_empty() {
            return;
        }
        let (path, body) = if items == 1 && bodies.len() == 1 {
            ("devices", bodies.swap_remove(0))
        } else {
            ("devices/batch", Value::from(bodies))
        };
        let mut headers = vec![("x-ms-track-registration", "true")];
        if let Some(url) = &callback {
            headers.push(("x-ms-callback-url", url));
            headers.push(("x-ms-callback-url-headers", r#"{"X-Caller": "bad days"}"#));
        }
        let ids = match self.ask(path, &headers, &body).await {
            Some(answer) if path == "devices" => Some(vec![answer.registration_id()]),
            Some(answer) => Some(answer.registration_ids()),
            None => self.look_for(&lines).await,
        };
        let mut ledger = self.load.ledger.lock();
        for (index, line) in lines.iter().enumerate() {
            let known = match &ids {
                None => Known::Never,
                Some(ids) => Known::Counts(ids[index].clone()),
            };
            ledger.registration_is(line, known);
        }
    }

    /// Removes one device, or all, of one person; again until it is answered, or else the person is left
    /// alone.
    async fn clean_up(&mut self) {
        let chosen = self.dice.below(PEOPLE as u64) as usize;
        let figure = &mut self.people[chosen];
        if figure.deeds == 0 || figure.devices[0].fate == Fate::GoodInACrowd {
            return self.load.room.add_permits(1);
        }
        figure.deeds += 1;
        let person = figure.person.clone();
        let device = self.dice.below(figure.devices.len() as u64) as usize;
        let one = self.dice.percent(50).then(|| figure.devices[device].token.clone());
        let app = &self.load.apps[person.app];
        let mut body = json!({"MobileAppId": app.id, "ApiToken": app.token, "UserId": person.user});
        if let Some(token) = &one {
            body["DeviceToken"] = token.clone().into();
        }
        loop {
            let deed = Deed::CleanedUp { token: one.clone(), known: Known::Unknown };
            let line = self.load.ledger.lock().write(&person, deed);
            if self.ask("devices/cleanup", &[], &body).await.is_some() {
                return self.load.ledger.lock().cleanup_is(&line, Known::Counts(()));
            }
            if self.dice.percent(30) {
                self.people[chosen].deeds = DEEDS;
                return;
            }
        }
    }

    /// Sends a request until it has left; its answer, if it was answered 202.
    async fn ask(&mut self, path: &str, headers: &[(&str, &str)], body: &Value) -> Option<Answer> {
        let org = &self.load.apps[0].org;
        let path = format!("/api/v1.0/orgs/{org}/pushdeviceregistration/{path}");
        let mut patience = Patience::for_at_most(BACK_WITHIN, "the server is back");
        let answer = loop {
            match self.caller.send(Method::POST, &path, headers, Some(body)).await {
                Ok(answer) => break answer,
                Err(NoAnswer::Cut) => return None,
                Err(NoAnswer::NotSent) => patience.wait().await,
            }
        };
        if answer.status == 503 {
            check_unavailable(&answer);
            self.load.unavailable.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
        self.load.count_answer();
        Some(answer)
    }

    /// The ids of registrations that were not answered: all of a request are there, or none.
    async fn look_for(&self, lines: &[Line]) -> Option<Vec<String>> {
        let mut ids: Vec<Option<String>> = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let before = lines[..index].iter().filter(|other| other.person == line.person).count();
            let new = self.new_ids(&line.person).await;
            ids.push(new.into_iter().nth(before));
        }
        let found = ids.iter().flatten().count();
        assert!(
            found == 0 || found == ids.len(),
            "a part of a request was kept: {lines:?} {ids:?}"
        );
        ids.into_iter().collect()
    }

    /// The ids of a person's registrations that are not in the ledger, in their order.
    async fn new_ids(&self, person: &Person) -> Vec<String> {
        let app = &self.load.apps[person.app];
        let mut admin = Admin::of(self.load.address);
        let mut patience = Patience::for_at_most(BACK_WITHIN, "the administration answers");
        let mut ids = loop {
            // What a failed write has left is certain once the server can serve again.
            if admin.is_ready().await
                && let Some(ids) = admin.try_registrations(app, &person.user).await
            {
                break ids;
            }
            patience.wait().await;
        };
        let ledger = self.load.ledger.lock();
        ids.retain(|id| !ledger.knows(person, id));
        ids.sort_unstable();
        ids
    }
}

fn body(apps: &[App], person: &Person, device: &Device) -> Value {
    let token = match device.fate {
        Fate::NotAuthorized => &apps[(person.app + 1) % apps.len()].token,
        Fate::Good | Fate::GoodInACrowd | Fate::Refused | Fate::TooLong => &apps[person.app].token,
    };
    json!({
        "MobileAppId": apps[person.app].id,
        "UserId": person.user,
        "ApiToken": token,
        device.field(): device.token,
    })
}

/// A 503 says when to try again, and why.
pub fn check_unavailable(answer: &Answer) {
    let after = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(after.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    let _ = answer.problem(503);
}
