//! Memory over a run, as a picture.

use plotters::prelude::{ChartBuilder, IntoDrawingArea, IntoFont, LineSeries, RGBColor, SVGBackend, WHITE};
use std::error::Error;
use std::path::Path;

/// Seconds since the start, and megabytes resident then.
pub type Sample = (f64, f64);

/// Draws each run's samples as a line, up to `bound` megabytes.
///
/// # Errors
/// The file can't be written.
pub fn draw(path: &Path, title: &str, bound: f64, runs: &[Vec<Sample>]) -> Result<(), Box<dyn Error>> {
    let end = runs.iter().flatten().map(|(seconds, _)| *seconds).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (900, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18).into_font())
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..bound)?;
    chart.configure_mesh().x_desc("seconds").y_desc("resident memory, MB").draw()?;
    for run in runs {
        chart.draw_series(LineSeries::new(run.iter().copied(), RGBColor(11, 58, 87)))?;
    }
    area.present()?;
    Ok(())
}
