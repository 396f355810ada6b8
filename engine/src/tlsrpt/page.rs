//! What the store keeps of a domain's day: its counts, and how far its report has come.

use super::rua::Place;
use super::tally::Counted;
use crate::clock::{Day, Timestamp};
use crate::store::{About, Error, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A domain's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// When it was, in UTC (RFC 8460 section 4.1).
    pub day: Day,
    /// Whose hosts were met.
    pub domain: String,
    kept: Kept,
}

/// Its form in the store, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    policies: Vec<Counted>,
    /// Who has the report.
    #[serde(default)]
    taken: BTreeSet<String>,
    /// When it was first sent.
    #[serde(default)]
    begun: Option<Timestamp>,
    /// When it was last sent.
    #[serde(default)]
    tried: Option<Timestamp>,
}

impl Page {
    /// Every page in the store, by day and domain.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn all(store: &Store) -> Result<Vec<Page>, Error> {
        Page::of_days(store, |_| true)
    }

    /// Those of the days that are `wanted`. Others are not even read: of today there may be tens of thousands.
    ///
    /// # Errors
    /// As [`all`](Page::all).
    pub fn of_days(store: &Store, wanted: impl Fn(Day) -> bool) -> Result<Vec<Page>, Error> {
        let mut pages = Vec::new();
        store.scan_shown(About::Report, |name, value| {
            if named(name).is_some_and(|(day, _)| wanted(day)) {
                pages.extend(Page::of(name, value));
            }
        })?;
        Ok(pages)
    }

    /// A page with nothing on it.
    pub(crate) fn empty(day: Day, domain: &str) -> Page {
        Page { day, domain: domain.to_owned(), kept: Kept::default() }
    }

    /// The page of a day and domain, empty where there is none.
    pub(super) fn read(store: &Store, day: Day, domain: &str) -> Result<Page, Error> {
        let empty = Page::empty(day, domain);
        let name = empty.name();
        Ok(store.shown(About::Report, &name)?.and_then(|value| Page::of(&name, &value)).unwrap_or(empty))
    }

    /// One of a later version, or a damaged one, says nothing.
    fn of(name: &str, value: &[u8]) -> Option<Page> {
        let (day, domain) = named(name)?;
        Some(Page { day, domain: domain.to_owned(), kept: serde_json::from_slice(value).ok()? })
    }

    fn name(&self) -> String {
        format!("{} {}", self.day, self.domain)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn write(&self, store: &Store) -> Result<(), Error> {
        store.put_shown(About::Report, &self.name(), &serde_json::to_vec(&self.kept).expect("plain values"))
    }

    /// Removes it from the store.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn forget(&self, store: &Store) -> Result<(), Error> {
        store.forget_shown(About::Report, &self.name())
    }

    /// What was counted.
    pub fn policies(&self) -> &[Counted] {
        &self.kept.policies
    }

    pub(super) fn add(&mut self, counted: Vec<Counted>) {
        counted.into_iter().for_each(|one| Counted::add(&mut self.kept.policies, one));
    }

    /// Whether `place` has the report.
    pub fn has(&self, place: &Place) -> bool {
        self.kept.taken.contains(&place.to_string())
    }

    /// `place` has the report now, or will never take it.
    pub fn settled(&mut self, place: &Place) {
        self.kept.taken.insert(place.to_string());
    }

    /// The report is sent at `now`.
    pub fn try_at(&mut self, now: Timestamp) {
        self.kept.begun.get_or_insert(now);
        self.kept.tried = Some(now);
    }

    /// When it was first and last sent.
    pub fn tries(&self) -> Option<(Timestamp, Timestamp)> {
        self.kept.begun.zip(self.kept.tried)
    }
}

/// Day and domain of a page of that name.
fn named(name: &str) -> Option<(Day, &str)> {
    let (day, domain) = name.split_once(' ')?;
    Some((Day::parse(day)?, domain))
}

#[cfg(test)]
impl Page {
    pub(super) fn test(day: &str, domain: &str, policies: &serde_json::Value) -> Page {
        let kept = serde_json::json!({ "policies": policies }).to_string();
        Page::of(&format!("{day} {domain}"), kept.as_bytes()).expect("as it is kept")
    }
}
