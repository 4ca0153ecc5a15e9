//! Charts as SVG text: axes, lines, dots, cells. Knows nothing of what is drawn.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;

/// How a value becomes a place on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By factors; what is not above 0 lies at the axis.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// What it shows.
    pub(super) label: &'static str,
    /// How.
    pub(super) scale: Scale,
    /// How a value is written.
    pub(super) format: fn(f64) -> String,
    /// The ticks, where the usual ones will not do.
    pub(super) ticks: Option<Vec<(f64, String)>>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A line through them.
    Line,
    /// A dot each.
    Dots,
    /// Both.
    LineAndDots,
    /// A dashed line: a fit, a bound.
    Dashed,
}

/// One curve.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// For the legend.
    pub(super) name: String,
    /// How it is drawn.
    pub(super) mark: Mark,
    /// From left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// A rectangle of a heat map, in values of the axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Left and right.
    pub(super) x: (f64, f64),
    /// Bottom and top.
    pub(super) y: (f64, f64),
    /// 0..1.
    pub(super) weight: f64,
}

/// One chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// Above it; also its id in a page, in kebab case.
    pub(super) title: String,
    /// Horizontal.
    pub(super) x: Axis,
    /// Vertical.
    pub(super) y: Axis,
    /// Curves.
    pub(super) series: Vec<Series>,
    /// Heat.
    pub(super) cells: Vec<Cell>,
    /// Vertical lines with a word.
    pub(super) rules: Vec<(f64, String)>,
}

impl Chart {
    /// A self-contained drawing.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">{STYLE}<text class="title" x="{LEFT}" y="20">{}</text>"#,
            escape(&self.title),
            escape(&self.title)
        );
        match (self.range(true), self.range(false)) {
            (Some(x), Some(y)) => self.draw(&Frame { x, y }, &mut out),
            _ => {
                let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
                let _ = write!(out, r#"<text class="none" x="{x}" y="{y}">nothing to show in this run</text>"#);
            }
        }
        out.push_str("</svg>");
        out
    }

    fn draw(&self, frame: &Frame, out: &mut String) {
        self.axes(frame, out);
        for cell in &self.cells {
            frame.cell(cell, out);
        }
        for (at, word) in &self.rules {
            frame.rule(*at, word, out);
        }
        for (index, series) in self.series.iter().enumerate() {
            frame.series(series, index % 4, out);
        }
        self.legend(out);
    }

    fn values(&self, horizontal: bool) -> impl Iterator<Item = f64> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let points = points.map(move |point| if horizontal { point.0 } else { point.1 });
        let cells = self.cells.iter().flat_map(move |cell| {
            let (low, high) = if horizontal { cell.x } else { cell.y };
            [low, high]
        });
        let rules = self.rules.iter().filter(move |_| horizontal).map(|(at, _)| *at);
        points.chain(cells).chain(rules).filter(|value| value.is_finite())
    }

    fn range(&self, horizontal: bool) -> Option<Range> {
        let axis = if horizontal { &self.x } else { &self.y };
        let usable = |value: &f64| axis.scale == Scale::Linear || *value > 0.0;
        let low = self.values(horizontal).filter(usable).fold(f64::INFINITY, f64::min);
        let high = self.values(horizontal).filter(usable).fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        Some(match axis.scale {
            Scale::Linear if low >= 0.0 => Range { scale: Scale::Linear, low: 0.0, high: (high * 1.03).max(1e-9) },
            Scale::Linear => Range { scale: Scale::Linear, low, high: high.max(low + 1e-9) },
            Scale::Log => Range { scale: Scale::Log, low: low / 1.15, high: high * 1.15 },
        })
    }

    fn axes(&self, frame: &Frame, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in ticks(&self.x, &frame.x) {
            let x = frame.x_at(value);
            let _ = write!(
                out,
                r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}"/><text class="tick mid" x="{x:.1}" y="{}">{}</text>"#,
                bottom + 16.0,
                escape(&text)
            );
        }
        for (value, text) in ticks(&self.y, &frame.y) {
            let y = frame.y_at(value);
            let _ = write!(
                out,
                r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/><text class="tick end" x="{}" y="{:.1}">{}</text>"#,
                LEFT - 7.0,
                y + 4.0,
                escape(&text)
            );
        }
        let _ = write!(
            out,
            r#"<text class="label mid" x="{}" y="{}">{}</text><text class="label mid" transform="translate(14 {}) rotate(-90)">{}</text>"#,
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            escape(self.x.label),
            (TOP + bottom) / 2.0,
            escape(self.y.label)
        );
    }

    fn legend(&self, out: &mut String) {
        let mut x = WIDTH - RIGHT;
        for (index, series) in self.series.iter().enumerate().rev() {
            x -= 7.0 * series.name.chars().count() as f64;
            let _ = write!(
                out,
                r#"<rect class="f{}" x="{:.0}" y="12" width="9" height="9" rx="2"/><text class="tick" x="{x:.0}" y="20">{}</text>"#,
                index % 4,
                x - 13.0,
                escape(&series.name)
            );
            x -= 28.0;
        }
    }
}

#[derive(Clone, Copy)]
struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    /// 0 at the low end, 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        share.clamp(0.0, 1.0)
    }
}

struct Frame {
    x: Range,
    y: Range,
}

impl Frame {
    fn x_at(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn series(&self, series: &Series, colour: usize, out: &mut String) {
        if series.mark != Mark::Dots {
            let dashed = if series.mark == Mark::Dashed { " dash" } else { "" };
            let _ = write!(out, r#"<polyline class="s{colour}{dashed}" points=""#);
            for (x, y) in series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
                let _ = write!(out, "{:.1},{:.1} ", self.x_at(*x), self.y_at(*y));
            }
            out.push_str("\"/>");
        }
        if matches!(series.mark, Mark::Dots | Mark::LineAndDots) {
            for (x, y) in series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
                let (x, y) = (self.x_at(*x), self.y_at(*y));
                let _ = write!(out, r#"<circle class="f{colour}" cx="{x:.1}" cy="{y:.1}" r="3"/>"#);
            }
        }
    }

    fn cell(&self, cell: &Cell, out: &mut String) {
        let (x, top) = (self.x_at(cell.x.0), self.y_at(cell.y.1));
        let (width, height) = (self.x_at(cell.x.1) - x, self.y_at(cell.y.0) - top);
        let opacity = 0.08 + 0.92 * cell.weight.clamp(0.0, 1.0);
        let _ = write!(
            out,
            r#"<rect class="f0" x="{x:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill-opacity="{opacity:.2}"/>"#,
            (width - 0.4).max(0.5),
            (height - 0.4).max(0.5)
        );
    }

    fn rule(&self, at: f64, word: &str, out: &mut String) {
        let x = self.x_at(at);
        let left = x > WIDTH * 0.7;
        let (class, text_x) = if left { ("end", x - 5.0) } else { ("start", x + 5.0) };
        let _ = write!(
            out,
            r#"<line class="rule" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{}"/><text class="tick {class}" x="{text_x:.1}" y="{}">{}</text>"#,
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM - 6.0,
            escape(word)
        );
    }
}

fn ticks(axis: &Axis, range: &Range) -> Vec<(f64, String)> {
    let fixed = axis.ticks.clone();
    let inside = |value: &f64| *value >= range.low * (1.0 - 1e-9) && *value <= range.high * (1.0 + 1e-9);
    if let Some(ticks) = fixed {
        return ticks.into_iter().filter(|(value, _)| inside(value)).collect();
    }
    let values: Vec<f64> = match range.scale {
        Scale::Linear => linear_ticks(range),
        Scale::Log => log_ticks(range),
    };
    values.into_iter().filter(inside).map(|value| (value, (axis.format)(value))).collect()
}

fn linear_ticks(range: &Range) -> Vec<f64> {
    let rough = (range.high - range.low) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(power * 10.0);
    let first = (range.low / step).ceil() as i64;
    let last = (range.high / step).floor() as i64;
    (first..=last).map(|count| count as f64 * step).collect()
}

fn log_ticks(range: &Range) -> Vec<f64> {
    let decades = range.low.log10().floor() as i32..=range.high.log10().ceil() as i32;
    let wide = (range.high / range.low).log10() > 3.0;
    let factors: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
    decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade))).collect()
}

/// For text between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "<style>\
text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:14px;font-weight:600}.tick{font-size:11px}\
.mid{text-anchor:middle}.end{text-anchor:end}.none{text-anchor:middle;fill:#888}.label{fill:#666}\
.grid{stroke:#8883;stroke-width:1}.rule{stroke:#888;stroke-dasharray:3 3}polyline{fill:none;stroke-width:1.8}\
.dash{stroke-dasharray:6 4}.s0{stroke:#2563eb}.s1{stroke:#dc2626}.s2{stroke:#059669}.s3{stroke:#d97706}\
.f0{fill:#2563eb}.f1{fill:#dc2626}.f2{fill:#059669}.f3{fill:#d97706}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.label,.none{fill:#aaa}}</style>";

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let axis = |scale| Axis { label: "x < y", scale, format: |value| format!("{value}"), ticks: None };
        let series = vec![Series { name: "one".into(), mark: Mark::LineAndDots, points }];
        Chart {
            title: "A & B".into(),
            x: axis(Scale::Linear),
            y: axis(Scale::Log),
            series,
            cells: vec![],
            rules: vec![],
        }
    }

    #[test]
    fn draws_what_is_finite_and_escapes_words() {
        let svg = chart(vec![(0.0, 1.0), (1.0, 1000.0), (2.0, f64::INFINITY)]).render();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.contains("A &amp; B") && svg.contains("x &lt; y"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn an_empty_chart_says_so() {
        assert!(chart(vec![]).render().contains("nothing to show"));
    }
}
