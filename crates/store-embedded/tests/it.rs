//! The embedded store: the conformance suite, and what only an embedded store promises.

