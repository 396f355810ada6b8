//! Offered, accepted and refused over time, as a picture.

use super::world::Second;
use plotters::prelude::{ChartBuilder, IntoDrawingArea, IntoFont, LineSeries, RGBColor, SVGBackend, WHITE};
use std::error::Error;
use std::path::Path;

/// Points of a line; each is the mean of some seconds.
const POINTS: usize = 240;
const LIMIT: RGBColor = RGBColor(150, 150, 150);
const OFFERED: RGBColor = RGBColor(221, 170, 51);
const ACCEPTED: RGBColor = RGBColor(11, 58, 87);
const REFUSED: RGBColor = RGBColor(187, 34, 34);

/// A line: its name, its colour, its figure.
type Line = (&'static str, RGBColor, fn(&Second) -> f64);

const LINES: [Line; 4] = [
    ("limit", LIMIT, |second| second.capacity),
    ("offered", OFFERED, |second| second.offered.into()),
    ("accepted", ACCEPTED, |second| second.accepted.into()),
    ("refused", REFUSED, |second| second.refused.into()),
];

/// Draws a panel for each play.
///
/// # Errors
/// The file can't be written.
pub fn draw(path: &Path, title: &str, plays: &[(&str, Vec<Second>)]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, (900, 260 * u32::try_from(plays.len())?)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, (name, seconds)) in area.split_evenly((plays.len(), 1)).iter().zip(plays) {
        let all: Vec<_> = LINES.iter().map(|(_, _, figure)| points(seconds, *figure)).collect();
        let top = seconds.iter().map(|second| second.capacity).fold(1.0, f64::max) * 1.6;
        let end = all.iter().flatten().map(|(minute, _)| *minute).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(panel)
            .caption(format!("{name} — {title}"), ("sans-serif", 15).into_font())
            .margin(10)
            .x_label_area_size(32)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart.configure_mesh().x_desc("minutes").y_desc("a second").draw()?;
        for ((_, colour, _), points) in LINES.iter().zip(all) {
            let clipped = points.into_iter().map(|(minute, figure)| (minute, figure.min(top)));
            chart.draw_series(LineSeries::new(clipped, *colour))?;
        }
    }
    area.present()?;
    Ok(())
}

/// Minutes, and the mean of each few seconds.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn points(seconds: &[Second], figure: fn(&Second) -> f64) -> Vec<(f64, f64)> {
    let length = seconds.len().div_ceil(POINTS).max(1);
    let means = seconds.chunks(length).map(|bin| bin.iter().map(figure).sum::<f64>() / bin.len() as f64);
    means.enumerate().map(|(bin, mean)| ((bin * length) as f64 / 60.0, mean)).collect()
}
