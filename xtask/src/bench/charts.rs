//! Charts of figures, as SVG.
//!
//! Invariant: a chart shows the figures that it is given and no others; what is missing has no bar and no point.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::bench::figure::Figure;
use crate::bench::peers::beside::Peers;

/// A line in a panel.
#[derive(Clone, Debug)]
pub struct Series {
    /// Whose it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Lines over the same axis.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is shown.
    pub title: String,
    /// What the axis below counts.
    pub along: &'static str,
    /// The lines.
    pub series: Vec<Series>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Panels in a row.
const COLUMNS: usize = 3;
/// Pixels of a panel.
const PANEL: (u32, u32) = (420, 300);
/// Pixels of an operation in the chart of bars.
const OPERATION: u32 = 46;
const WIDTH: u32 = 1000;
const FONT: &str = "sans-serif";
/// Told apart without colour vision too: Okabe and Ito.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
];

/// A bar for each operation's median, what it is to take at most, and what the nearest peer takes; the axis is
/// logarithmic.
pub fn bars(file: &Path, figures: &[Figure], peers: &Peers) -> Result<()> {
    let kinds: [(&str, Value<'_>); 3] = [
        ("ours", &|figure| Some(figure.median)),
        ("at most", &|figure| peers.get(&figure.op)?.most),
        ("nearest peer", &|figure| figure.nearest_peer),
    ];
    let all = figures
        .iter()
        .flat_map(|figure| kinds.iter().filter_map(|(_, value)| value(figure)));
    let most = all.fold(10.0, f64::max) * 2.0;
    let rows = figures.len();
    write(file, (WIDTH, 90 + OPERATION * rows as u32), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("instructions", (FONT, 20))
            .margin(10)
            .margin_right(40)
            .x_label_area_size(30)
            .y_label_area_size(180)
            .build_cartesian_2d((1.0..most).log_scale(), 0.0..rows as f64)?;
        let name = |at: &f64| {
            let row = rows.checked_sub(1 + at.floor() as usize);
            row.and_then(|row| figures.get(row))
                .map_or(String::new(), |figure| figure.op.clone())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style((FONT, 13))
            .draw()?;
        for (index, ((label, value), colour)) in kinds.iter().zip(COLOURS).enumerate() {
            // A third of the row each, from the top.
            let bar = |(row, figure): (usize, &Figure)| {
                let top = (rows - row) as f64 - 0.1 - index as f64 * 0.27;
                value(figure).map(|value| {
                    Rectangle::new([(1.0, top - 0.25), (value.max(1.0), top)], colour.filled())
                })
            };
            chart
                .draw_series(figures.iter().enumerate().filter_map(bar))?
                .label(*label)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled())
                });
        }
        for row in 0..rows {
            let middle = row as f64 + 0.5;
            let (left, y) = chart.backend_coord(&(1.0, middle));
            let style = (FONT, 13).into_text_style(area);
            area.draw_text(&name(&middle), &style, (left - 170, y - 7))?;
        }
        legend(&mut chart)
    })
}

type Value<'a> = &'a dyn Fn(&Figure) -> Option<f64>;

/// All panels in one file.
pub fn lines(file: &Path, panels: &[Panel]) -> Result<()> {
    let columns = COLUMNS.min(panels.len()).max(1);
    let rows = panels.len().div_ceil(columns).max(1);
    let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32);
    write(file, size, |area| {
        let places = area.split_evenly((rows, columns));
        for (panel, place) in panels.iter().zip(&places) {
            draw_panel(place, panel)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let right = points().map(|(x, _)| *x).fold(2.0, f64::max);
    // The legend stands in the room above.
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max).max(0.1) * 1.7;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 15))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d((1.0..right).log_scale().base(2.0), 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(panel.along)
        .x_label_formatter(&|x| {
            let is_whole = (x - x.round()).abs() < 1e-6;
            if is_whole {
                format!("{x:.0}")
            } else {
                String::new()
            }
        })
        .light_line_style(WHITE)
        .label_style((FONT, 11))
        .draw()?;
    // The first is the widest, so that one beneath another is seen.
    let widths = (1..=panel.series.len() as u32).rev().map(|rank| 2 * rank);
    for ((series, colour), width) in panel.series.iter().zip(COLOURS.iter().cycle()).zip(widths) {
        let style = colour.stroke_width(width);
        chart
            .draw_series(LineSeries::new(series.points.iter().copied(), style))?
            .label(&series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], style));
        let dots = series
            .points
            .iter()
            .map(|at| Circle::new(*at, 3, colour.filled()));
        chart.draw_series(dots)?;
    }
    legend(&mut chart)
}

/// What is whose, in a corner.
fn legend<'a, X, Y>(chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>) -> Result<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 11))
        .draw()
        .map_err(|error| anyhow!("{error}"))
}

/// Draws on white, and writes the file.
fn write(file: &Path, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    let name = || file.display().to_string();
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(name)?;
    }
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE).with_context(name)?;
    draw(&area).with_context(name)?;
    area.present().with_context(name)?;
    println!("chart: {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(draw: impl FnOnce(&Path) -> Result<()>, name: &str) -> String {
        let file = format!("bulkhead-chart-{}-{name}.svg", std::process::id());
        let file = std::env::temp_dir().join(file);
        draw(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        text
    }

    fn figure(op: &str, median: f64, nearest_peer: Option<f64>) -> Figure {
        Figure {
            op: op.to_owned(),
            unit: "instructions",
            n: 1,
            min: median,
            median,
            p99: median,
            floor: None,
            nearest_peer,
        }
    }

    #[test]
    fn each_operation_has_a_bar_for_what_is_known() {
        let rectangles = |figures: &[Figure]| {
            let text = svg(|file| bars(file, figures, &Peers::new()), "bars");
            assert!(
                figures.iter().all(|figure| text.contains(&figure.op)),
                "{text}"
            );
            text.matches("<rect").count()
        };
        let both = rectangles(&[
            figure("a_call", 10.0, Some(100.0)),
            figure("b_call", 5.0, Some(7.0)),
        ]);
        let one = rectangles(&[
            figure("a_call", 10.0, Some(100.0)),
            figure("b_call", 5.0, None),
        ]);
        assert_eq!(both, one + 1);
    }

    #[test]
    fn each_series_is_a_line_with_its_name() {
        let series = |name: &str| Series {
            name: name.to_owned(),
            points: vec![(1.0, 0.0), (192.0, 2.0)],
        };
        let panel = Panel {
            title: "lines".into(),
            along: "cores",
            series: vec![series("ours"), series("theirs")],
        };
        let text = svg(|file| lines(file, &[panel.clone(), panel]), "lines");
        assert_eq!(text.matches("<circle").count(), 8);
        assert!(text.contains("ours") && text.contains("theirs") && text.contains("cores"));
    }
}
