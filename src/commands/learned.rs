//! What was learned of a provider, in words: of the store, which an engine at work keeps up to date.

use engine::clock::Timestamp;
use engine::report::rfc3339;
use engine::store::{Error, Store};
use engine::throttle::Learned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// By source and provider.
pub type Lessons = BTreeMap<String, BTreeMap<String, Learned>>;

/// All that `store` has; what an earlier version wrote and nobody can read any more is left out, as the engine does.
///
/// # Errors
/// The store can't be read.
pub fn lessons(store: &Store) -> Result<Lessons, Error> {
    let mut lessons = Lessons::new();
    store.scan_paces(|source, record| {
        if let Ok(learned) = serde_json::from_value(record.learned) {
            lessons.entry(source.to_owned()).or_default().insert(record.name, learned);
        }
    })?;
    Ok(lessons)
}

/// What of it is below what the rules allow; nothing where nothing is.
pub fn words(learned: &Learned, now: Timestamp) -> Vec<String> {
    let mut words: Vec<_> = learned.window.map(|window| format!("{window} sessions at once")).into_iter().collect();
    words.extend(learned.ceiling.map(|ceiling| format!("{ceiling:.1} messages a second")));
    if learned.held_until > now {
        words.push(format!("nothing before {}", rfc3339(learned.held_until)));
    }
    words
}

/// The same for programs; each value is null where nothing was learned.
pub fn json(learned: Option<&Learned>) -> Value {
    json!({
        "window": learned.and_then(|it| it.window), "ceiling": learned.and_then(|it| it.ceiling),
        "held_until": learned.map(|it| rfc3339(it.held_until)), "learned": learned.map(|it| rfc3339(it.at)),
    })
}
