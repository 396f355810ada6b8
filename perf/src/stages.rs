//! What the engine says of its own stages: sums and counts of its `/metrics`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

/// Seconds and times by stage.
pub type Stages = BTreeMap<String, (f64, f64)>;

/// What a process has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    pub stages: Stages,
    /// CPU seconds of all signatures, and of verifying those that were made together.
    pub signatures: f64,
}

/// Reads it from 127.0.0.1:`port`.
///
/// # Errors
/// Nobody answers there.
pub fn scrape(port: u16) -> Result<Counted, Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    parse(&text)
}

fn parse(text: &str) -> Result<Counted, Box<dyn Error>> {
    let mut counted = Counted::default();
    for (series, value) in text.lines().filter_map(|line| line.rsplit_once(' ')) {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let stage = labels.split('"').nth(1).unwrap_or_default().to_owned();
        match name {
            "sealpost_stage_seconds_sum" => counted.stages.entry(stage).or_default().0 = value.parse()?,
            "sealpost_stage_seconds_count" => counted.stages.entry(stage).or_default().1 = value.parse()?,
            "sealpost_signature_cpu_seconds_total" | "sealpost_signature_verify_cpu_seconds_total" => {
                counted.signatures += value.parse::<f64>()?;
            }
            _ => {}
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_all_that_was_spent_on_them() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE x counter\n\
            sealpost_signature_cpu_seconds_total{algorithm=\"rsa\",backend=\"aws_lc\"} 1.5\n\
            sealpost_signature_cpu_seconds_total{algorithm=\"rsa\",backend=\"crypto_mb\"} 2\n\
            sealpost_signature_verify_cpu_seconds_total 0.25\n\
            sealpost_stage_seconds_sum{stage=\"render\"} 3\nsealpost_stage_seconds_count{stage=\"render\"} 7\n";
        let counted = parse(text).expect("figures");
        assert_eq!(counted.signatures, 3.75);
        assert_eq!(counted.stages, [("render".to_owned(), (3.0, 7.0))].into());
    }
}
