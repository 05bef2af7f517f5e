//! The report for people: the table first, then ratios, then absolute figures.

use std::fmt::Write as _;

use super::lines::{self, Line, rate_of};
use super::{Parts, Report};
use crate::measure::Measured;
use crate::measure::accept::Accepting;

/// Writing to a `String` can't fail.
macro_rules! put {
    ($to:expr, $($what:tt)*) => { let _ = writeln!($to, $($what)*); };
}

const MIB: f64 = 1024.0 * 1024.0;

/// The report.
pub fn of(report: &Report) -> String {
    let mut text = String::new();
    let machine = &report.machine;
    put!(text, "# Speed\n");
    put!(
        text,
        "{} · {} cores · {:.0} GiB · Linux {} · commit {} · load average at the end {:.1}\n",
        machine.processor,
        machine.cores,
        machine.memory as f64 / 1024.0 / MIB,
        machine.kernel,
        machine.commit,
        machine.load
    );
    put!(text, "{}", table(&report.lines));
    ratios(&report.parts, &mut text);
    loads(&report.parts, &mut text);
    alone(&report.parts, &mut text);
    carried_through(&report.parts, &mut text);
    long_runs(&report.parts, &mut text);
    text
}

/// The table "Speed".
pub fn table(lines: &[Line]) -> String {
    let mut text = String::new();
    put!(text, "| what | measured | to reach | reached | |");
    put!(text, "| --- | --- | --- | --- | --- |");
    for line in lines {
        let (unit, side) = line.unit.rsplit_once(", at ").unwrap_or((&line.unit, ""));
        let measured =
            line.measured.map_or("–".to_owned(), |measured| format!("**{measured:.1}**"));
        let reached = match line.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        put!(
            text,
            "| {} | {measured} | at {side} {} {unit} | {reached} | {} |",
            line.name,
            line.target,
            line.note
        );
    }
    text
}

fn ratios(parts: &Parts, text: &mut String) {
    if parts.accept.is_none() && parts.batches.is_none() {
        return;
    }
    put!(text, "## Ratios\n");
    put!(text, "Each is the median of its runs.\n");
    for accepting in [&parts.accept, &parts.batches].into_iter().flatten() {
        let Accepting { batch, loads, of_hyper, of_store, .. } = accepting;
        let of_axum = rate_of(loads, "pushroll") / rate_of(loads, "bare axum");
        put!(
            text,
            "- accept, {}: {:.0}% of bare hyper, {:.0}% of bare axum, {:.0}% of the store alone",
            if *batch == 1 { "single".to_owned() } else { format!("batches of {batch}") },
            of_hyper * 100.0,
            of_axum * 100.0,
            of_store * 100.0
        );
    }
    if let Some(budget) = lines::budget(parts) {
        put!(text, "- a registration's parts by themselves: {:.1} µs of CPU in all", budget.sum());
    }
    put!(text, "");
}

fn loads(parts: &Parts, text: &mut String) {
    let all = |accepting: &Option<Accepting>| {
        accepting.iter().flat_map(|accepting| accepting.loads.clone()).collect::<Vec<_>>()
    };
    let mut loads = all(&parts.accept);
    loads.extend(all(&parts.batches));
    let end_to_end = [&parts.end_to_end, &parts.end_to_end_batches];
    loads.extend(end_to_end.into_iter().flatten().map(|end| end.load.clone()));
    loads.extend(parts.queries.iter().flat_map(|queries| queries.closed.clone()));
    if !loads.is_empty() {
        put!(text, "## Closed loops\n");
        put!(
            text,
            "Latencies are those of requests; CPU time is that of a registration (or of a query): µs each, or seconds a million.\n"
        );
        load_table(&loads, text);
    }
    if let Some(queries) = &parts.queries {
        put!(text, "## At a fixed rate\n");
        load_table(&queries.open, text);
    }
}

fn load_table(loads: &[Measured], text: &mut String) {
    put!(
        text,
        "| what | server | a second | p50 µs | p90 | p99 | p99.9 | server CPU µs | of it writer, RocksDB | generator CPU µs | peak MiB |"
    );
    put!(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for load in loads {
        let of_thread = |name| {
            load.used.threads.get(name).copied().unwrap_or_default() * 1e6
                / load.items.max(1) as f64
        };
        let store = match load.server.as_str() {
            "pushroll" => format!("{:.1}, {:.1}", of_thread("store writer"), of_thread("rocksdb")),
            _ => String::new(),
        };
        let quantiles = load.latencies;
        put!(
            text,
            "| {} | {} | {:.0} | {} | {} | {} | {} | {:.1} | {store} | {:.1} | {:.0} |",
            load.what,
            load.server,
            load.per_second,
            quantiles.p50_us,
            quantiles.p90_us,
            quantiles.p99_us,
            quantiles.p999_us,
            load.server_cpu_micros,
            load.generator_cpu_micros,
            load.used.peak as f64 / MIB
        );
    }
    put!(text, "");
}

fn alone(parts: &Parts, text: &mut String) {
    if let Some(rows) = &parts.store {
        put!(text, "## The store and the disk alone\n");
        put!(
            text,
            "Registrations a second. The disk appends and syncs the bytes that the store writes for as many, by one thread.\n"
        );
        put!(
            text,
            "| a call | callers | accept | CPU µs | accept and finish | CPU µs | disk | sync p50 µs | p99 |"
        );
        put!(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        for row in rows {
            let (accept, both, disk) = (&row.accept, &row.accept_and_finish, &row.disk);
            put!(
                text,
                "| {} | {} | {:.0} | {:.1} | {:.0} | {:.1} | {:.0} | {} | {} |",
                row.batch,
                row.callers,
                accept.per_second,
                accept.cpu_micros,
                both.per_second,
                both.cpu_micros,
                disk.per_second * (row.batch * row.callers) as f64,
                disk.latencies.p50_us,
                disk.latencies.p99_us
            );
        }
        put!(text, "");
    }
    if let Some(rows) = &parts.providers {
        put!(text, "## Clients against the same simulator\n");
        put!(text, "| who | requests a second | CPU µs each | simulator CPU µs each |");
        put!(text, "| --- | --- | --- | --- |");
        for row in rows {
            let figures = &row.figures;
            put!(
                text,
                "| {} | {:.0} | {:.1} | {:.1} |",
                row.who,
                figures.per_second,
                figures.cpu_micros,
                row.simulator_cpu_micros
            );
        }
        put!(text, "");
    }
}

fn carried_through(parts: &Parts, text: &mut String) {
    if let Some(end) = &parts.end_to_end {
        put!(text, "## End to end\n");
        put!(
            text,
            "- {:.0} registrations a second until the last had ended, {} on their way at the most",
            end.load.per_second,
            end.window
        );
        put!(
            text,
            "- server {:.1} µs of CPU each, simulator {:.1} µs",
            end.load.server_cpu_micros,
            end.simulator_cpu_micros
        );
        put!(
            text,
            "- {:.0} bytes on disk for each registration, {:.1} bytes written for each byte of its body",
            end.disk_bytes_each,
            end.write_amplification
        );
        let outcomes = end.outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}"));
        put!(text, "- outcomes that were read: {}\n", outcomes.collect::<Vec<_>>().join(", "));
    }
    for accepting in [&parts.accept, &parts.batches].into_iter().flatten() {
        if let Some(rate) = accepting.drained_per_second {
            put!(
                text,
                "- accepted with verification paused (batches of {}), then drained: {rate:.0} a second",
                accepting.batch
            );
        }
    }
    if let Some(callbacks) = &parts.callbacks {
        put!(
            text,
            "- with callbacks: {:.0} registrations a second carried through and told, server {:.1} µs of CPU each",
            callbacks.per_second,
            callbacks.server_cpu_micros
        );
    }
    if let Some(idle) = parts.idle_bytes {
        put!(text, "- memory of a server that has nothing to do: {:.0} MiB", idle as f64 / MIB);
    }
    put!(text, "");
}

fn long_runs(parts: &Parts, text: &mut String) {
    if let Some(growth) = &parts.growth {
        put!(text, "## Growth\n");
        put!(
            text,
            "| devices | end to end/s | just started | accept/s | accept p99 µs | status p99 µs, last hour | evenly | devices p99 µs | peak MiB | disk bytes each | ready in s |"
        );
        put!(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        for size in &growth.sizes {
            put!(
                text,
                "| {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} | {:.0} | {:.0} | {:.2} |",
                size.devices,
                size.end_to_end_per_second,
                size.end_to_end_at_first,
                size.accept_closed.per_second,
                size.accept.latencies.p99_us,
                size.status_recent.latencies.p99_us,
                size.status_even.latencies.p99_us,
                size.devices_p99_us(),
                size.peak_bytes as f64 / MIB,
                size.disk_bytes_each,
                size.ready_seconds
            );
        }
        put!(text, "\n![over the number of devices](growth.svg)\n");
    }
    if parts.offered.is_some() {
        put!(text, "## Latency over offered load\n\n![latency over offered load](offered.svg)\n");
    }
    if let Some(start) = &parts.start_up {
        put!(
            text,
            "## Start\n\nReady {:.2} s after it was started with {} pending registrations.\n",
            start.ready_seconds,
            start.pending
        );
    }
    if let Some(overload) = &parts.overload {
        put!(text, "## Overload\n\n{overload}\n");
    }
    if let Some(soak) = &parts.soak {
        put!(text, "## Soak\n\n{soak}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_nothing_shows_the_whole_table() {
        let parts = Parts::default();
        let report = Report { lines: lines::of(&parts), parts, ..Report::default() };
        let text = of(&report);
        assert_eq!(text.matches("| not measured |").count(), 9, "{text}");
    }
}
