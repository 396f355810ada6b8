//! A flame graph of `perf script`'s stacks, as SVG: width is CPU, a function stands on its caller, names show on hovering.

use crate::profile;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A function in a place on the stack.
#[derive(Default)]
struct Frame<'a> {
    samples: u32,
    callees: BTreeMap<&'a str, Frame<'a>>,
}

const WIDTH: f64 = 1200.0;
const ROW: f64 = 16.0;
/// Pixels below which a frame, and all upon it, is left out.
const LEAST: f64 = 1.0;
/// Pixels of a letter.
const LETTER: f64 = 6.5;

/// Draws the stacks: a frame a line, the innermost first, an empty line between.
pub fn draw(title: &str, stacks: &str) -> String {
    let mut root = Frame::default();
    for stack in profile::stacks(stacks) {
        root.samples += 1;
        let mut at = &mut root;
        for line in stack.lines().rev() {
            at = at.callees.entry(name(line)).or_default();
            at.samples += 1;
        }
    }
    let scale = WIDTH / f64::from(root.samples.max(1));
    let height = ROW * f64::from(root.depth(scale) + 2);
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <text x=\"4\" y=\"12\">{}</text>",
        escaped(title)
    );
    let mut left = 0.0;
    for (name, callee) in &root.callees {
        left += callee.draw(name, left, height - ROW, scale, &mut svg);
    }
    svg += "</svg>\n";
    svg
}

impl Frame<'_> {
    /// How many rows it and what stands on it take.
    fn depth(&self, scale: f64) -> u32 {
        let seen = self.callees.values().filter(|callee| f64::from(callee.samples) * scale >= LEAST);
        seen.map(|callee| 1 + callee.depth(scale)).max().unwrap_or(0)
    }

    /// Draws it, and gives its width.
    fn draw(&self, name: &str, left: f64, top: f64, scale: f64, svg: &mut String) -> f64 {
        let width = f64::from(self.samples) * scale;
        if width < LEAST {
            return width;
        }
        let (share, shown) = (width / WIDTH * 100.0, escaped(name));
        let _ = writeln!(
            svg,
            "<g><title>{shown}: {share:.2} %</title><rect x=\"{left:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"15\" fill=\"{}\"/>",
            colour(name)
        );
        if width > 8.0 * LETTER {
            // Cut off by the frame's own window, which needs no count of letters.
            let _ = writeln!(
                svg,
                "<svg x=\"{left:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"15\"><text x=\"3\" y=\"11\">{shown}</text></svg>"
            );
        }
        *svg += "</g>\n";
        let mut inner = left;
        for (name, callee) in &self.callees {
            inner += callee.draw(name, inner, top - ROW, scale, svg);
        }
        width
    }
}

/// A frame's function: its line without the address before.
fn name(line: &str) -> &str {
    line.trim().split_once(' ').map_or("", |(_, name)| name)
}

/// One colour a stage, so that what belongs together is seen.
fn colour(name: &str) -> String {
    let stage = profile::stage_of(name).unwrap_or("");
    let hue = stage.bytes().fold(0_u32, |sum, octet| (sum * 31 + u32::from(octet)) % 360);
    if stage.is_empty() { "hsl(0,0%,85%)".to_owned() } else { format!("hsl({hue},70%,72%)") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let svg = draw("a & b", " 1 leaf<T>\n 2 main\n\n 1 main\n\n 3 other\n\n 1 main\n\n");
        assert!(svg.contains("a &amp; b") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("<title>main: 75.00 %</title><rect x=\"0.0\" y=\"48\" width=\"900.0\""), "{svg}");
        assert!(svg.contains("<title>leaf&lt;T&gt;: 25.00 %</title><rect x=\"0.0\" y=\"32\" width=\"300.0\""), "{svg}");
        assert!(svg.contains("<title>other: 25.00 %</title><rect x=\"900.0\""), "{svg}");
    }
}
