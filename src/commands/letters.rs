//! `sealpost report --undeliverable`: the rows that a letter may have to follow. Whom they were for is sealed in the store and
//! said only where somebody asks for it, on stdout or in a new file that nobody else can read.

use crate::args::{Args, Report as Options};
use crate::failure::Failure;
use crate::output::outln;
use engine::mail::{Class, Kind, hint, rows as counted};
use engine::report::{Ended, Why, rfc3339};
use engine::secret::write_owner_only;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// Prints `rows` as the options say.
pub fn print(args: &Args, options: &Options, rows: &[Ended]) -> Result<(), Failure> {
    if !options.plain && options.output.is_none() {
        if args.json {
            rows.iter().for_each(|row| outln!("{}", Value::Object(object(row))));
        } else {
            summary(rows).iter().for_each(|line| outln!("{line}"));
        }
        return Ok(());
    }
    let octets = if args.json { json_lines(rows) } else { csv(rows)? };
    match &options.output {
        Some(path) => {
            write_owner_only(path, &octets).map_err(|error| Failure::writing(path, &error))?;
            eprintln!("{}: {}, with address and key: it holds PHI", path.display(), counted(rows.len() as u64));
        }
        // A reader that went away is no error of ours.
        None => drop(std::io::stdout().write_all(&octets)),
    }
    Ok(())
}

/// Counts by outcome and reason, each with its rows' numbers.
fn summary(rows: &[Ended]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["no row was dropped, bounced or expired".into()];
    }
    let mut reasons: BTreeMap<(Kind, Why), Vec<u64>> = BTreeMap::new();
    for Ended { row, outcome } in rows {
        reasons.entry((outcome.kind, Why::of(outcome.why(), outcome.class))).or_default().push(*row);
    }
    let mut lines = Vec::new();
    for ((kind, why), rows) in reasons {
        lines.push(format!("{:>9}  {kind}: {why}", rows.len()));
        lines.extend(hint(&why.why).map(|hint| format!("{:13}hint: {hint}", "")));
        lines.push(format!("{:13}rows {}", "", spans(&rows)));
    }
    lines.push("whom they were for: --plain on stdout, --output FILE in a new file; both hold PHI".into());
    lines
}

/// `1-4, 7, 9-12`.
fn spans(rows: &[u64]) -> String {
    let runs = rows.chunk_by(|a, b| a + 1 == *b);
    let span = |rows: &[u64]| match rows {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(span).collect::<Vec<_>>().join(", ")
}

fn object(Ended { row, outcome }: &Ended) -> serde_json::Map<String, Value> {
    let object = json!({
        "row": row, "outcome": outcome.kind.word(), "reason": outcome.why(), "class": outcome.class.map(Class::word), "at": rfc3339(outcome.at),
        "attempts": outcome.attempts, "doubted": outcome.doubted,
    });
    let Value::Object(object) = object else { unreachable!("made as an object") };
    object
}

fn json_lines(rows: &[Ended]) -> Vec<u8> {
    let line = |ended: &Ended| {
        let mut object = object(ended);
        let addressee = ended.outcome.addressee.as_ref();
        object.insert("address".into(), addressee.map(|addressee| addressee.to.clone()).into());
        object.insert("key".into(), addressee.map(|addressee| addressee.key.clone()).into());
        format!("{}\n", Value::Object(object))
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

fn csv(rows: &[Ended]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let internal = |error: csv::Error| Failure::internal(error.to_string());
    writer.write_record(["row", "outcome", "reason", "class", "at", "doubted", "address", "key"]).map_err(internal)?;
    for Ended { row, outcome } in rows {
        let (to, key) = outcome.addressee.as_ref().map_or(("", ""), |addressee| (&addressee.to, &addressee.key));
        let (row, why, at, doubted) =
            (row.to_string(), outcome.why(), rfc3339(outcome.at), outcome.doubted.to_string());
        let class = outcome.class.map_or("", Class::word);
        writer.write_record([&row, outcome.kind.word(), &why, class, &at, &doubted, to, key]).map_err(internal)?;
    }
    writer.into_inner().map_err(|error| Failure::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_span() {
        assert_eq!(spans(&[1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
        assert_eq!(spans(&[4]), "4");
    }
}
