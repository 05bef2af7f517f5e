//! Traces: what was done for a request, span by span, for whoever collects them. Most servers have no collector,
//! so a span that nobody wants is a null pointer, and asking for one is a look at another.
//!
//! Attributes carry ids, counts, names of outcomes and providers' reasons; never a token, a key, a URL or a
//! header of a caller.

use std::fmt;
use std::sync::Arc;

/// A span among all others: what children, links and the next service name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace; never all zeros.
    pub trace: [u8; 16],
    /// The span; never all zeros.
    pub span: [u8; 8],
}

/// What a caller says of the trace that its request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallersTrace {
    /// The caller's span.
    pub context: SpanContext,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl CallersTrace {
    /// Reads the header `traceparent` (W3C Trace Context, section 3.2); `None` if it is none.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let [version, trace, span, flags] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let [version] = bytes(version)?;
        let [flags] = bytes(flags)?;
        // Later versions may have more after that; the first has not, and the last is reserved.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let context = SpanContext { trace: bytes(trace)?, span: bytes(span)? };
        let is_valid = context.trace != [0; 16] && context.span != [0; 8];
        is_valid.then_some(Self { context, sampled: flags & 1 == 1 })
    }
}

/// The bytes of a text in lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * N || !text.bytes().all(is_lower_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl SpanContext {
    /// The header `traceparent` for whom this span calls.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", Hex(&self.trace), Hex(&self.span))
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Hex(&self.trace), Hex(&self.span))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Something inside.
    Internal,
    /// A request to us.
    Server,
    /// A request of ours to others.
    Client,
    /// Work that was put off when it came.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Whether.
    Flag(bool),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for SpanValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSpan {
    /// Which it is.
    pub context: SpanContext,
    /// The span that it is a part of.
    pub parent: Option<[u8; 8]>,
    /// Whether that one is the caller's.
    pub is_parent_remote: bool,
    /// A span of another trace that led to this one.
    pub link: Option<SpanContext>,
    /// What was done.
    pub name: &'static str,
    /// What it is about.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Details.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Who takes spans.
pub trait SpanSink: Send + Sync {
    /// The time of day in nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// Random bits.
    fn random(&self) -> u64;

    /// Whether this trace is to be recorded. `caller` is what the caller does with it, if there is one.
    fn wants(&self, trace: [u8; 16], caller: Option<bool>) -> bool;

    /// Takes a span, or drops it: never waits.
    fn take(&self, span: EndedSpan);
}

/// Begins traces, if somebody wants them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<dyn SpanSink>>);

impl Tracer {
    /// A tracer for this sink.
    #[must_use]
    pub fn to(sink: Arc<dyn SpanSink>) -> Self {
        Self(Some(sink))
    }

    /// Whether anybody wants traces at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request: the first span here of the caller's trace, or of a new one.
    #[must_use]
    pub fn request(&self, name: &'static str, caller: Option<CallersTrace>) -> Span {
        let Some(sink) = &self.0 else { return Span::none() };
        let trace = caller.map_or_else(|| new_trace(&**sink), |caller| caller.context.trace);
        if !sink.wants(trace, caller.map(|caller| caller.sampled)) {
            return Span::none();
        }
        let parent = caller.map(|caller| caller.context.span);
        let is_parent_remote = parent.is_some();
        let open = Open { parent, is_parent_remote, ..Open::new(sink, trace, name) };
        Span(Some(Box::new(Open { kind: SpanKind::Server, ..open })))
    }

    /// A part of another span's trace; none if that was none.
    #[must_use]
    pub fn part_of(&self, whole: Option<SpanContext>, name: &'static str, kind: SpanKind) -> Span {
        let (Some(sink), Some(whole)) = (&self.0, whole) else { return Span::none() };
        let open = Open::new(sink, whole.trace, name);
        Span(Some(Box::new(Open { parent: Some(whole.span), kind, ..open })))
    }

    /// A trace of its own for what was put off. If the span that led to it is known, it is recorded as that
    /// was, with a link.
    #[must_use]
    pub fn later(&self, link: Option<SpanContext>, name: &'static str, kind: SpanKind) -> Span {
        let Some(sink) = &self.0 else { return Span::none() };
        let trace = new_trace(&**sink);
        if link.is_none() && !sink.wants(trace, None) {
            return Span::none();
        }
        Span(Some(Box::new(Open { link, kind, ..Open::new(sink, trace, name) })))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

fn new_trace(sink: &dyn SpanSink) -> [u8; 16] {
    let [high, low] = [sink.random(), sink.random()];
    // All zeros would be none.
    ((u128::from(high) << 64) | u128::from(low)).max(1).to_be_bytes()
}

/// A span. It ends when it is dropped, however that comes.
pub struct Span(Option<Box<Open>>);

struct Open {
    sink: Arc<dyn SpanSink>,
    context: SpanContext,
    parent: Option<[u8; 8]>,
    is_parent_remote: bool,
    link: Option<SpanContext>,
    name: &'static str,
    kind: SpanKind,
    began_ns: u64,
    attributes: Vec<(&'static str, SpanValue)>,
    failure: Option<String>,
}

impl Open {
    fn new(sink: &Arc<dyn SpanSink>, trace: [u8; 16], name: &'static str) -> Self {
        Self {
            context: SpanContext { trace, span: sink.random().max(1).to_be_bytes() },
            parent: None,
            is_parent_remote: false,
            link: None,
            name,
            kind: SpanKind::Internal,
            began_ns: sink.now_ns(),
            attributes: Vec::new(),
            failure: None,
            sink: Arc::clone(sink),
        }
    }
}

impl Span {
    /// None: nothing comes of it.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Which it is; `None` if it is none.
    #[must_use]
    pub fn context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|open| open.context)
    }

    /// A part of it.
    #[must_use]
    pub fn part(&self, name: &'static str, kind: SpanKind) -> Self {
        let Some(open) = &self.0 else { return Self::none() };
        Tracer::part_of(&Tracer(Some(Arc::clone(&open.sink))), Some(open.context), name, kind)
    }

    /// Tells details, if anybody listens.
    pub fn tell(&mut self, details: impl FnOnce(&mut Details<'_>)) {
        if let Some(open) = &mut self.0 {
            details(&mut Details(open));
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context().fmt(f)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let ended_ns = open.sink.now_ns().max(open.began_ns);
        open.sink.take(EndedSpan {
            context: open.context,
            parent: open.parent,
            is_parent_remote: open.is_parent_remote,
            link: open.link,
            name: open.name,
            kind: open.kind,
            began_ns: open.began_ns,
            ended_ns,
            attributes: open.attributes,
            failure: open.failure,
        });
    }
}

/// The details of a span.
pub struct Details<'s>(&'s mut Open);

impl Details<'_> {
    /// An attribute. Keys that OpenTelemetry's semantic conventions know are named as there.
    pub fn set(&mut self, key: &'static str, value: impl Into<SpanValue>) -> &mut Self {
        self.0.attributes.push((key, value.into()));
        self
    }

    /// It failed, and why.
    pub fn fail(&mut self, why: impl Into<String>) -> &mut Self {
        self.0.failure = Some(why.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Keeps what it takes; wants what the caller records, and traces of its own.
    #[derive(Default)]
    struct Kept {
        counter: AtomicU64,
        spans: Mutex<Vec<EndedSpan>>,
    }

    impl SpanSink for Kept {
        fn now_ns(&self) -> u64 {
            self.counter.fetch_add(1, Ordering::Relaxed)
        }

        fn random(&self) -> u64 {
            self.counter.fetch_add(1, Ordering::Relaxed)
        }

        fn wants(&self, _: [u8; 16], caller: Option<bool>) -> bool {
            caller.unwrap_or(true)
        }

        fn take(&self, span: EndedSpan) {
            self.spans.lock().unwrap().push(span);
        }
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says_and_nothing_else_is_one() {
        let parsed = CallersTrace::parse(PARENT).unwrap();
        assert!(parsed.sampled);
        assert_eq!(parsed.context.traceparent(), PARENT);
        let zeros = "00000000000000000000000000000000";
        let [trace, span] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
        assert!(!CallersTrace::parse(&format!("00-{trace}-{span}-00")).unwrap().sampled);
        assert!(CallersTrace::parse(&format!("01-{trace}-{span}-03-more")).unwrap().sampled);
        for wrong in [
            String::new(),
            trace.to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-+1"),
            format!("00-{trace}é-{span}-01"),
        ] {
            assert_eq!(CallersTrace::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_end_when_they_are_dropped_and_parts_name_what_they_are_parts_of() {
        let kept = Arc::new(Kept::default());
        let tracer = Tracer::to(Arc::clone(&kept) as _);
        let mut request = tracer.request("request", CallersTrace::parse(PARENT));
        request.tell(|details| {
            details.set("n", 3u64).fail("why");
        });
        let later = tracer.later(request.context(), "later", SpanKind::Consumer);
        drop(request.part("part", SpanKind::Client));
        drop(request);
        drop(later);
        let spans = kept.spans.lock().unwrap();
        let [part, request, later] = spans.as_slice() else { panic!("{spans:?}") };
        let caller = CallersTrace::parse(PARENT).unwrap().context;
        assert_eq!((request.context.trace, request.parent), (caller.trace, Some(caller.span)));
        assert!(request.is_parent_remote && request.ended_ns > request.began_ns);
        assert_eq!(request.attributes, [("n", SpanValue::Number(3))]);
        assert_eq!(request.failure.as_deref(), Some("why"));
        assert_eq!((part.context.trace, part.parent), (caller.trace, Some(request.context.span)));
        assert!(!part.is_parent_remote);
        assert_ne!(later.context.trace, caller.trace);
        assert_eq!((later.parent, later.link), (None, Some(request.context)));
    }

    #[test]
    fn what_nobody_wants_leaves_no_span_nor_do_its_parts() {
        let kept = Arc::new(Kept::default());
        let tracer = Tracer::to(Arc::clone(&kept) as _);
        let unsampled = PARENT.replace("-01", "-00");
        let request = tracer.request("request", CallersTrace::parse(&unsampled));
        let mut part = tracer.part_of(request.context(), "part", SpanKind::Internal);
        part.tell(|_| panic!("nobody listens"));
        drop((request, part));
        let off = Tracer::default();
        drop((off.request("request", None), off.later(None, "later", SpanKind::Internal)));
        assert!(kept.spans.lock().unwrap().is_empty());
    }
}
