//! What was meant by a name that isn't there.

/// From here on two names are alike.
const ALIKE: f64 = 0.8;

/// The name nearest to what was written, if one is near at all.
pub fn closest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What to say to whoever wrote a name that isn't there: the names that are, the most alike first, and of many only some.
pub fn instead_of(written: &str, names: &[&str]) -> String {
    let mut ranked: Vec<_> = names.iter().map(|name| (strsim::jaro_winkler(written, name), *name)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let shown: Vec<_> = ranked.iter().take(SHOWN).map(|(_, name)| *name).collect();
    let more = if ranked.len() > SHOWN { format!(" and {} more", ranked.len() - SHOWN) } else { String::new() };
    let listed = format!("{}{more}", shown.join(", "));
    match ranked.first() {
        Some((likeness, name)) if *likeness > ALIKE => format!("did you mean \"{name}\"? known are: {listed}"),
        _ => format!("known are: {listed}"),
    }
}

const SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_alike_come_first() {
        assert_eq!(
            instead_of("mx.exmaple", &["a.test", "mx.example"]),
            "did you mean \"mx.example\"? known are: mx.example, a.test"
        );
        assert_eq!(instead_of("zzz", &["b", "a"]), "known are: a, b");
        let many: Vec<_> = (0..25).map(|number| format!("mx{number}.example")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(instead_of("q", &many).ends_with(" and 15 more"));
    }
}
