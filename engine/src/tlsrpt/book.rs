//! Counts sessions as they end, in memory; writes the counts to the store by the minute.

use super::meeting::Meeting;
use super::page::Page;
use super::rua::places;
use super::tally::Counted;
use crate::clock::{Clock, Day, Timestamp};
use crate::resolve::Resolver;
use crate::store::Store;
use crate::sts::Standing;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::JoinSet;

/// What is counted, and who wants to know.
pub struct Book {
    store: Arc<Store>,
    resolver: Arc<dyn Resolver>,
    clock: Arc<dyn Clock>,
    open: Mutex<Open>,
}

/// What is not in the store yet.
#[derive(Default)]
struct Open {
    counts: HashMap<(Day, String), Vec<Counted>>,
    /// Which domains were asked on this day, and whether they want reports.
    asked: HashMap<String, (Day, bool)>,
    /// Whether something was not counted since the last write.
    overflowed: bool,
}

/// Domains counted between two writes to the store; what comes past it is not counted. A shard opens some hundred sessions a
/// second, so that a minute has no more.
const MOST_OPEN: usize = 20_000;
/// Domains whose word is remembered; past it they are all asked again.
const MOST_ASKED: usize = 100_000;
/// Domains asked at once.
const AT_ONCE: usize = 64;

impl Book {
    /// A book whose counts go to `store`; domains are asked by `resolver`.
    pub fn new(store: Arc<Store>, resolver: Arc<dyn Resolver>, clock: Arc<dyn Clock>) -> Book {
        Book { store, resolver, clock, open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no holder panics")
    }

    /// A session that was for `domain`, which stands so to MTA-STS, has ended, or there was none.
    pub fn note(&self, domain: &str, standing: &Standing, meeting: &Meeting) {
        let day = Day::of(self.clock.now());
        let mut open = self.open();
        if open.asked.get(domain) == Some(&(day, false)) {
            return;
        }
        let counted = meeting.counted(domain, standing);
        // Our own fault is nobody's report, and a report of nothing is none.
        if counted.is_empty() {
            return;
        }
        let key = (day, domain.to_owned());
        if open.counts.len() >= MOST_OPEN && !open.counts.contains_key(&key) {
            open.overflowed = true;
            return;
        }
        let counts = open.counts.entry(key).or_default();
        counted.into_iter().for_each(|one| Counted::add(counts, one));
    }

    /// Asks domains that were met, once a day, whether they want reports; what was counted of those that don't is forgotten. On
    /// nobody's way.
    pub async fn ask(&self) {
        let today = Day::of(self.clock.now());
        let (mut asking, mut unasked) = (JoinSet::new(), self.unasked(today).into_iter());
        loop {
            for domain in unasked.by_ref().take(AT_ONCE - asking.len()) {
                let resolver = self.resolver.clone();
                asking.spawn(async move {
                    let answer = resolver.txt(&format!("_smtp._tls.{domain}")).await;
                    (domain, answer)
                });
            }
            let Some(answered) = asking.join_next().await else { return };
            let Ok((domain, answer)) = answered else { continue };
            match answer {
                Err(trouble) if trouble.is_transient() => {}
                answer => self.answered(domain, today, !places(&answer.unwrap_or_default()).is_empty()),
            }
        }
    }

    fn unasked(&self, today: Day) -> Vec<String> {
        let open = self.open();
        let known = |domain: &String| open.asked.get(domain).is_some_and(|(day, _)| *day == today);
        let met = open.counts.keys().map(|(_, domain)| domain);
        met.filter(|domain| !known(domain)).cloned().collect()
    }

    fn answered(&self, domain: String, today: Day, wants: bool) {
        let mut open = self.open();
        if open.asked.len() >= MOST_ASKED {
            open.asked.clear();
        }
        if !wants {
            open.counts.remove(&(today, domain.clone()));
        }
        open.asked.insert(domain, (today, wants));
    }

    /// Writes what was counted to the store. Counts of domains that nobody has asked yet go there too: who sends the reports
    /// asks again.
    pub fn write(&self) {
        let (counts, overflowed) = {
            let mut open = self.open();
            (std::mem::take(&mut open.counts), std::mem::take(&mut open.overflowed))
        };
        if overflowed {
            tracing::warn!(most = MOST_OPEN, "too many domains at once: TLS reports are incomplete");
        }
        for ((day, domain), counted) in counts {
            let written = Page::read(&self.store, day, &domain).and_then(|mut page| {
                page.add(counted);
                page.write(&self.store)
            });
            if let Err(error) = written {
                return tracing::warn!(%error, "counts for TLS reports are lost");
            }
        }
    }

    /// The store that its counts are in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The time, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{TlsFault, Tlsa};
    use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, NoRoute};
    use crate::store::Settings;
    use crate::tlsrpt::{Ending, Records};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Domains that begin with `w` want reports.
    struct Wanting(AtomicU64);

    impl Resolver for Wanting {
        fn mx<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
            Box::pin(async { Err(NoRoute::NoMailHost) })
        }

        fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
            Box::pin(async { Err(NoAddress::None) })
        }

        fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Result<Vec<String>, NoRoute>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let wants = name.starts_with("_smtp._tls.w");
            let records = wants.then(|| "v=TLSRPTv1; rua=mailto:r@w.example".to_owned());
            Box::pin(async { Ok(records.into_iter().collect()) })
        }
    }

    struct At(AtomicU64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn meeting(ending: Ending) -> Meeting {
        let tlsa = Records::Known(Tlsa::Absent);
        Meeting { host: "mx.example".into(), receiving_ip: None, sending_ip: None, tlsa, ending }
    }

    #[test]
    fn counts_add_up_over_writes_and_days_and_only_of_those_who_ask() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Arc::new(Store::open(folder.path(), &Settings::default()).expect("a store"));
        let (resolver, clock) = (Arc::new(Wanting(AtomicU64::new(0))), Arc::new(At(AtomicU64::new(0))));
        let book = Book::new(store.clone(), resolver.clone(), clock.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let note = |domain: &str, ending| book.note(domain, &Standing::NoPolicy, &meeting(ending));
        for round in 0..3 {
            note("w.ours.example", Ending::FellShort(TlsFault::MxUnproven));
            for domain in ["w.example", "other.example"] {
                note(domain, Ending::Encrypted(None));
                note(domain, Ending::FellShort(TlsFault::NameMismatch));
            }
            if round > 0 {
                runtime.block_on(book.ask());
            }
            book.write();
        }
        assert_eq!(resolver.0.load(Ordering::SeqCst), 2, "each once a day");
        clock.0.store(24 * 3600 * 1000, Ordering::SeqCst);
        note("w.example", Ending::Clear);
        runtime.block_on(book.ask());
        book.write();
        assert_eq!(resolver.0.load(Ordering::SeqCst), 3);
        let pages = Page::all(&store).expect("readable");
        let of = |page: &Page| {
            let counted = serde_json::to_value(page.policies()).expect("plain");
            let summary = &counted[0]["summary"];
            let counts = [&summary["total-successful-session-count"], &summary["total-failure-session-count"]];
            let places = counted[0]["failure-details"].as_array().expect("a list").len();
            (page.day.to_string(), page.domain.clone(), counts.map(|count| count.as_u64().expect("a count")), places)
        };
        let expected = [
            // Nobody had asked yet when this was written.
            ("1970-01-01", "other.example", [1, 1], 1),
            ("1970-01-01", "w.example", [3, 3], 1),
            ("1970-01-02", "w.example", [0, 1], 1),
        ];
        let expected =
            expected.map(|(day, domain, counts, places)| (day.to_owned(), domain.to_owned(), counts, places));
        assert_eq!(pages.iter().map(of).collect::<Vec<_>>(), expected);
    }
}
