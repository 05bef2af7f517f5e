//! Plots as SVG: panels beside each other, each with one curve or more over a common axis.

use std::fmt::Write as _;

use super::Parts;

/// A curve: its name and its points.
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// A part of a plot with axes of its own; y begins at zero.
struct Panel {
    title: &'static str,
    x: &'static str,
    curves: Vec<Curve>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const COLOURS: [&str; 4] = ["#1668b0", "#c4451c", "#2e7d32", "#6a3fa0"];

/// The plots for which there is something to show, with the names of their files.
pub fn all(parts: &Parts) -> Vec<(&'static str, String)> {
    let mut plots = Vec::new();
    if let Some(growth) = &parts.growth {
        let curve = |name, of: &dyn Fn(&crate::long::growth::Size) -> f64| Curve {
            name,
            points: growth.sizes.iter().map(|s| (s.devices as f64 / 1e6, of(s))).collect(),
        };
        let x = "million devices";
        let rates = vec![
            curve("accept", &|size| size.accept_closed.per_second),
            curve("end to end", &|size| size.end_to_end_per_second),
        ];
        let millis = |micros: u64| micros as f64 / 1000.0;
        let latencies = vec![
            curve("accept", &|size| millis(size.accept.latencies.p99_us)),
            curve("status, last hour", &|size| millis(size.status_recent.latencies.p99_us)),
            curve("status, evenly", &|size| millis(size.status_even.latencies.p99_us)),
            curve("devices of a user", &|size| millis(size.devices_p99_us())),
        ];
        let panels = [
            Panel { title: "registrations a second", x, curves: rates },
            Panel { title: "p99 in ms", x, curves: latencies },
        ];
        plots.push(("growth.svg", svg(&panels)));
    }
    if let Some(offered) = &parts.offered {
        let curve = |name, of: &dyn Fn(&crate::load::Quantiles) -> u64| Curve {
            name,
            points: (offered.loads.iter())
                .map(|(rate, load)| (*rate / 1000.0, of(&load.latencies) as f64 / 1000.0))
                .collect(),
        };
        let curves = vec![
            curve("p50", &|quantiles| quantiles.p50_us),
            curve("p99", &|quantiles| quantiles.p99_us),
            curve("p99.9", &|quantiles| quantiles.p999_us),
        ];
        let x = "thousand single registrations offered a second";
        let panel = Panel { title: "latency of accept in ms", x, curves };
        plots.push(("offered.svg", svg(&[panel])));
    }
    plots
}

fn svg(panels: &[Panel]) -> String {
    let width = (WIDTH + LEFT + 20.0) * panels.len() as f64;
    let height = HEIGHT + TOP + 50.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let at = (WIDTH + LEFT + 20.0) * index as f64 + LEFT;
        let _ = writeln!(svg, "<g transform=\"translate({at},{TOP})\">");
        append(panel, &mut svg);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn append(panel: &Panel, svg: &mut String) {
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let right = nice(points().map(|point| point.0).fold(0.0, f64::max));
    let top = nice(points().map(|point| point.1).fold(0.0, f64::max));
    let place = |(x, y): (f64, f64)| (x / right * WIDTH, HEIGHT - y / top * HEIGHT);
    let _ = writeln!(svg, "<text x=\"0\" y=\"-18\" font-size=\"14\">{}</text>", panel.title);
    let (middle, below) = (WIDTH / 2.0, HEIGHT + 38.0);
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
        panel.x
    );
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let (x, y) = place((right * share, top * share));
        let _ = writeln!(
            svg,
            "<path d=\"M0 {y:.1}H{WIDTH}\" stroke=\"#ddd\"/>\n\
             <text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            y + 4.0,
            round(top * share),
            HEIGHT + 18.0,
            round(right * share)
        );
    }
    let _ = writeln!(svg, "<path d=\"M0 0V{HEIGHT}H{WIDTH}\" fill=\"none\" stroke=\"black\"/>");
    for (index, (curve, colour)) in panel.curves.iter().zip(COLOURS).enumerate() {
        let places: Vec<_> = curve.points.iter().map(|point| place(*point)).collect();
        let line: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = line.join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        for (x, y) in places {
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let y = 4 + 16 * index;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{y}\" fill=\"{colour}\" text-anchor=\"end\">{}</text>",
            WIDTH - 4.0,
            curve.name
        );
    }
}

/// The end of an axis: the next of 1, 2, 2.5, 5 by a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|end| *end >= most * 0.999).unwrap_or(most)
}

fn round(value: f64) -> String {
    if value >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_not_far_above_the_most() {
        for (most, end) in [(0.0, 1.0), (9.0, 10.0), (50.0, 50.0), (21_000.0, 25_000.0)] {
            assert_eq!(nice(most), end);
        }
    }

    #[test]
    fn a_plot_has_a_point_for_each_measurement() {
        let curves = vec![Curve { name: "a", points: vec![(1.0, 2.0), (5.0, 4.0)] }];
        let svg = svg(&[Panel { title: "t", x: "x", curves }]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
