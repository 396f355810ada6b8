//! What the engine says of its own stages: sums and counts of its `/metrics`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Seconds and times by stage.
pub type Stages = BTreeMap<String, (f64, f64)>;

/// Reads the stages from 127.0.0.1:`port`.
///
/// # Errors
/// Nobody answers there.
pub fn scrape(port: u16) -> Result<Stages, Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let mut stages = Stages::new();
    for line in text.lines() {
        let Some((figure, value)) = line.strip_prefix("sealpost_stage_seconds_").and_then(|line| line.rsplit_once(' '))
        else {
            continue;
        };
        let Some(stage) = figure.split('"').nth(1) else { continue };
        match figure.split('{').next() {
            Some("sum") => stages.entry(stage.to_owned()).or_default().0 = value.parse()?,
            Some("count") => stages.entry(stage.to_owned()).or_default().1 = value.parse()?,
            _ => {}
        }
    }
    Ok(stages)
}
